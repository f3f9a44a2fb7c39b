#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <numeric>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/calibrate.h"
#include "finetune/int8_choice.h"
#include "graph/surgery.h"

using namespace engraft;
using finetune::PrecisionChoice;
using tensor::Precision;
using test::Bench;
using test::Recorder;

namespace {

/// What a trial is made of, kept alive.
struct Tried {
  Bench bench;
  torch::jit::Module module;
  data::Listing listing;
  std::vector<int64_t> rows;
  engine::EngineOptions options{{}, 8, c10::Device(c10::kCPU)};
  io::Json network = {{"sha256", "of a test"}};

  explicit Tried(torch::jit::Module net) : module(std::move(net)) {
    listing = data::list_data(bench.options.data.data, {});
    options.preprocessing.size_px = 32;
    rows.resize(listing.samples.size());
    std::iota(rows.begin(), rows.end(), 0);
  }
  PrecisionChoice choose(Recorder& recorder) {
    return finetune::choose_precision(
        "int8", {module, listing, rows, options, 0, model::Pool::kAverage, &network, bench.folder / "cache"}, recorder);
  }
  void drop_labels() {
    for (data::Sample& sample : listing.samples) sample.label = -1;
  }
};

torch::jit::Module good_net() { return graph::extract(test::small_net(), {"mixed_2"}); }

/// What matters is a thousandth of what the last convolution reads.
torch::jit::Module bad_net() {
  torch::jit::Module module("__torch__.test.Offset");
  module.register_attribute("training", c10::BoolType::get(), false);
  at::manual_seed(5);
  module.register_buffer("a", at::randn({8, 3, 3, 3}));
  at::Tensor b = at::randn({8, 8, 1, 1});
  module.register_buffer("b", b - b.mean(1, true));
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.conv2d(torch.relu(torch.conv2d(x, self.a)) + 3000.0, self.b)\n");
  return module;
}

}  // namespace

TEST_CASE("pictures to calibrate on and to judge by are apart, spread, and at most so many", "[module]") {
  std::vector<int64_t> rows(2000);
  std::iota(rows.begin(), rows.end(), 100);
  const finetune::Int8Rows split = finetune::split_for_int8(rows);
  CHECK(split.calibrated.size() == 128);
  CHECK(split.judged.size() == 512);
  std::vector<int64_t> all = split.calibrated;
  all.insert(all.end(), split.judged.begin(), split.judged.end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(all.front() == 100);
  CHECK(all.back() >= 2090);
  CHECK(finetune::split_for_int8({7}).calibrated == std::vector<int64_t>{7});
  CHECK(finetune::split_for_int8({7}).judged.empty());
  CHECK(finetune::split_for_int8({}).calibrated.empty());
}

TEST_CASE("int8 that does for a network is chosen, and the next run knows it", "[module]") {
  Tried tried(good_net());
  Recorder first, second;
  const PrecisionChoice choice = tried.choose(first);
  CHECK(choice.precision == Precision::kInt8);
  REQUIRE(choice.int8);
  CHECK(choice.int8->calibrated + choice.int8->judged == static_cast<int64_t>(tried.rows.size()));
  CHECK(choice.int8->mean_cosine > 0.99);
  CHECK(choice.int8->least_cosine <= choice.int8->mean_cosine);
  REQUIRE(choice.int8->probe);
  CHECK(choice.int8->probe->pictures == choice.int8->judged);
  CHECK(choice.int8->probe->f32_right > choice.int8->probe->pictures / 2);
  CHECK(choice.int8->probe->int8_right >= choice.int8->probe->f32_right - 1);
  CHECK_THAT(first.told, Catch::Contains("precision: int8, calibrated on ") && Catch::Contains("a probe tells "));

  // What is remembered is what was found: another finding in its place is believed.
  const PrecisionChoice again = tried.choose(second);
  CHECK(second.told == first.told);
  REQUIRE(again.calibration);
  CHECK(again.calibration->digest == choice.calibration->digest);
  CHECK(again.calibration->ranges.size() == choice.calibration->ranges.size());
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(tried.bench.folder / "cache/int8"))
    files.push_back(entry.path());
  REQUIRE(files.size() == 1);
  io::Json kept = io::read_json(files.front().string());
  kept["finding"]["int8"]["judged"] = 12345;
  io::write_json(files.front().string(), kept);
  Recorder third, fourth;
  CHECK(tried.choose(third).int8->judged == 12345);
  // Not for another network, nor where the file is damaged.
  tried.network["sha256"] = "of another";
  CHECK(tried.choose(fourth).int8->judged == choice.int8->judged);
  tried.network["sha256"] = "of a test";
  test::put_file(files.front().string(), "{\"key\":");
  CHECK(tried.choose(fourth).int8->judged == choice.int8->judged);
}

TEST_CASE("without labels the cosines decide, and int8 that does not do falls back in the open", "[module]") {
  Tried good(good_net());
  good.drop_labels();
  Recorder recorder;
  const PrecisionChoice choice = good.choose(recorder);
  REQUIRE(choice.int8);
  CHECK_FALSE(choice.int8->probe);
  const bool is_near =
      choice.int8->mean_cosine >= finetune::kLeastMeanCosine && choice.int8->least_cosine >= finetune::kLeastEachCosine;
  CHECK((choice.precision == Precision::kInt8) == is_near);

  Tried bad(bad_net());
  bad.drop_labels();
  Recorder other;
  const PrecisionChoice refused = bad.choose(other);
  CHECK(refused.precision != Precision::kInt8);
  CHECK(refused.calibration == nullptr);
  CHECK_THAT(other.told, Catch::Contains("warning: precision: int8 does not do"));
  io::Json record;
  finetune::add_to(record, refused);
  CHECK(record["precision"] != "int8");
  CHECK(record.contains("precision_fallback"));
}

TEST_CASE("int8 says why it cannot be: nothing to judge by, no network named", "[module]") {
  Tried tried(good_net());
  tried.rows.resize(1);
  Recorder recorder;
  CHECK(tried.choose(recorder).precision != Precision::kInt8);
  CHECK_THAT(recorder.told, Catch::Contains("no readable picture is left to judge it by"));
  CHECK_THROWS_AS(
      finetune::choose_precision("int8", {tried.module, tried.listing, tried.rows, tried.options}, recorder),
      UsageError);
}
