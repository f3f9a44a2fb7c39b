#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/calibrate.h"
#include "finetune/int8_choice.h"
#include "finetune/int8_decisions.h"
#include "finetune/int8_probe.h"
#include "graph/surgery.h"

using namespace engraft;
using finetune::Int8Verdict;
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
  finetune::PrecisionTrial trial() {
    finetune::PrecisionTrial made{module, listing, rows, options};
    made.network = &network;
    made.cache_dir = bench.folder / "cache";
    return made;
  }
  PrecisionChoice choose(Recorder& recorder) { return finetune::choose_precision("int8", trial(), recorder); }
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

/// Beside what all pictures have in common, what tells them apart is less than a step of eight bits.
torch::jit::Module blunted_net() {
  torch::jit::Module module("__torch__.test.Blunted");
  module.register_attribute("training", c10::BoolType::get(), false);
  module.register_buffer("unit", at::eye(3).view({3, 3, 1, 1}));
  module.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  y = torch.mean(x, [2, 3], True) + 3000.0\n"
      "  return torch.flatten(torch.conv2d(y, self.unit), 1)\n");
  return module;
}

torch::jit::Module single_net() {
  torch::jit::Module module("__torch__.test.Single");
  module.register_attribute("training", c10::BoolType::get(), false);
  module.register_buffer("weights", at::ones({1, 3, 32, 32}));
  module.define("def forward(self, x: Tensor) -> Tensor:\n  return torch.flatten(torch.conv2d(x, self.weights), 1)\n");
  return module;
}

Int8Verdict::Probe probe_of(int64_t pictures, int64_t f32_right, int64_t most_frequent) {
  Int8Verdict::Probe probe;
  probe.pictures = pictures;
  probe.f32_right = f32_right;
  probe.most_frequent = most_frequent;
  return probe;
}

}  // namespace

TEST_CASE("pictures to calibrate on and to judge by are apart, at most so many, and drawn without an order",
          "[module]") {
  Tried tried(good_net());
  tried.listing.samples.clear();
  tried.rows.clear();
  for (int64_t i = 0; i < 2000; ++i) {
    data::Sample sample;
    sample.image_path = std::to_string(i);
    tried.listing.samples.push_back(sample);
    tried.rows.push_back(i);
  }
  const finetune::Int8Items split = finetune::split_for_int8(tried.trial());
  CHECK(split.calibrated.size() == 128);
  CHECK(split.judged.size() == 512);
  for (const auto* part : {&split.calibrated, &split.judged}) {
    CHECK(std::is_sorted(part->begin(), part->end()));
    for (const int64_t of : {2, 3, 5}) {  // as often as by chance, six deviations and more
      const auto hits = std::count_if(part->begin(), part->end(), [&](int64_t row) { return row % of == 0; });
      const double expected = static_cast<double>(part->size()) / static_cast<double>(of);
      CHECK(std::abs(static_cast<double>(hits) - expected) < 6 * std::sqrt(expected));
    }
  }
  std::vector<int64_t> all = split.calibrated;
  all.insert(all.end(), split.judged.begin(), split.judged.end());
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  tried.rows = {7};
  CHECK(finetune::split_for_int8(tried.trial()).calibrated == std::vector<int64_t>{7});
  CHECK(finetune::split_for_int8(tried.trial()).judged.empty());
}

TEST_CASE("with labels the probe decides, where it tells more than chance", "[module]") {
  Tried tried(blunted_net());
  Recorder recorder;
  const PrecisionChoice choice = tried.choose(recorder);
  CHECK(choice.precision != Precision::kInt8);
  REQUIRE(choice.int8);
  CHECK(choice.int8->mean_cosine > finetune::kLeastMeanCosine);  // the cosines see nothing
  REQUIRE(choice.int8->probe);
  const Int8Verdict::Probe& probe = *choice.int8->probe;
  CHECK(probe.f32_right - probe.int8_right == probe.f32_alone - probe.int8_alone);
  CHECK(probe.f32_right - probe.int8_right > 1);
  CHECK_THAT(recorder.told, Catch::Contains("at most 1 fewer is allowed"));

  CHECK(finetune::is_above_chance(probe_of(100, 70, 50)));
  CHECK_FALSE(finetune::is_above_chance(probe_of(100, 55, 50)));
  CHECK_FALSE(finetune::is_above_chance(probe_of(50, 0, 1)));  // a picture a class
}

TEST_CASE("a probe needs two classes, and pictures without a label are no part of it", "[module]") {
  const at::Tensor rows = at::tensor({0.0F, 0.1F, 5.0F, 5.1F, 9.0F}).unsqueeze(1);
  CHECK_FALSE(finetune::probe_both(rows, rows, {1, 1, -1, 1, -1}));
  const auto probe = finetune::probe_both(rows, -rows, {0, 0, 1, 1, -1});
  REQUIRE(probe);
  CHECK(probe->pictures == 4);
  CHECK(probe->most_frequent == 2);
  CHECK(probe->f32_right == 4);
  CHECK(probe->int8_right == 4);
}

TEST_CASE("the lesser of two keeps what is not a number", "[module]") {
  const double nan = std::nan("");
  CHECK(finetune::lesser(1, 2) == 1);
  CHECK(finetune::lesser(2, 1) == 1);
  CHECK(std::isnan(finetune::lesser(nan, 1)));
  CHECK(std::isnan(finetune::lesser(1, nan)));
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
  kept["finding"]["verdict"]["judged"] = 12345;
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

  // A finding as a store keeps it, and back.
  const auto kept = finetune::choice_from_finding(finetune::finding_json(choice));
  REQUIRE(kept);
  CHECK(kept->precision == choice.precision);
  CHECK(kept->int8->least_cosine == choice.int8->least_cosine);
  CHECK_FALSE(finetune::choice_from_finding(io::Json::object()));
  CHECK_FALSE(finetune::choice_from_finding({{"method", 1}, {"verdict", 1}}));

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

TEST_CASE("int8 says why it cannot be: nothing to judge by, one number a picture", "[module]") {
  Tried tried(good_net());
  tried.rows.resize(1);
  Recorder recorder;
  CHECK(tried.choose(recorder).precision != Precision::kInt8);
  CHECK_THAT(recorder.told, Catch::Contains("no readable picture is left to judge it by"));

  Tried single(single_net());
  single.drop_labels();
  Recorder heard;
  CHECK(single.choose(heard).precision != Precision::kInt8);
  CHECK_THAT(heard.told, Catch::Contains("one number, of which a cosine says nothing"));
}

TEST_CASE("a model is judged by what it decides in either precision", "[unit]") {
  const auto of = [](const std::vector<float>& values, int64_t width) { return at::tensor(values).view({-1, width}); };
  const auto counts = [](const Int8Verdict::Decisions& d) {
    return std::vector<int64_t>{d.pictures, d.differing, d.labelled, d.f32_right, d.int8_right};
  };
  using Counts = std::vector<int64_t>;
  const at::Tensor a = of({1, 0, 0, 1, 2, 1}, 2), b = of({0, 1, 0, 1, 2, 1.9F}, 2);
  CHECK(counts(finetune::decide_both(a, b, {0, 1, -1}, Target::kSoftmax, {})) == Counts{3, 1, 2, 2, 1});
  CHECK(counts(finetune::decide_both(of({-1, 1}, 1), of({1, 1}, 1), {0, 1}, Target::kSigmoid, {})) ==
        Counts{2, 1, 2, 2, 1});
  CHECK(counts(finetune::decide_both(of({1, -1, 1, 1}, 2), of({1, -2, 1, -1}, 2), {0, 0}, Target::kMultiLabel, {})) ==
        Counts{2, 1, 0, 0, 0});
  CHECK(counts(finetune::decide_both(of({100, 200}, 1), of({101, 203}, 1), {}, Target::kRegression, {150, 100})) ==
        Counts{2, 1, 0, 0, 0});
  CHECK(finetune::objection({500, 5, 500, 400, 399}).empty());
  CHECK(
      finetune::objection({500, 6, 500, 400, 400}) ==
      "it decides 6 of 500 otherwise than f32; right are 400 of 500, in f32 400; at most 5 may differ, and 1 fewer be "
      "right");
  CHECK_FALSE(finetune::objection({500, 2, 500, 400, 398}).empty());
  CHECK(finetune::objection({20, 1, 0, 0, 0}).empty());
  CHECK_FALSE(finetune::objection({20, 2, 0, 0, 0}).empty());
}

TEST_CASE("int8 without a name for the network is tried each time, and what judges a model falls back to float32",
          "[module]") {
  Tried tried(good_net());
  finetune::PrecisionTrial trial = tried.trial();
  trial.network = nullptr;
  Recorder recorder;
  CHECK(finetune::choose_precision("int8", trial, recorder).int8);
  CHECK_FALSE(std::filesystem::exists(tried.bench.folder / "cache/int8"));
  tried.rows.resize(1);
  CHECK(finetune::choose_judging_precision("int8", trial, recorder).precision == Precision::kFloat32);
}
