#include "finetune/precision.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <limits>

#include "base/errors.h"
#include "finetune/bench.h"
#include "finetune/engine_choice.h"
#include "graph/surgery.h"
#include "tensor/device.h"

using namespace engraft;
using finetune::PrecisionChoice;
using tensor::Precision;
using test::Bench;
using test::Recorder;

namespace {

/// What is chosen for a network of one block, whose forward is `source`, where bf16 is asked for.
PrecisionChoice choice_for(const std::string& source, Recorder& recorder) {
  Bench bench;
  torch::jit::Module module("__torch__.test.OneBlock");
  at::manual_seed(5);
  module.register_parameter("weight", at::randn({4, 3, 3, 3}), false);
  module.define("def forward(self, x: Tensor) -> Tensor:\n  y = torch.conv2d(x, self.weight)\n" + source);
  const data::Listing listing = data::list_data(bench.options.data.data, {});
  engine::EngineOptions options{{}, 8, c10::Device(c10::kCPU)};
  options.preprocessing.size_px = 32;
  const std::vector<int64_t> rows = data::rows_of(listing, "train");
  return finetune::choose_precision("bf16", {module, listing, rows, options}, recorder);
}

/// The one finding of `kind` in `cache`: its path.
std::string finding_in(const std::string& cache, const std::string& kind) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(cache + "/" + kind))
    found.push_back(entry.path().string());
  REQUIRE(found.size() == 1);
  return found.front();
}

/// Another value in it, which no measuring would give.
void plant(const std::string& path, const std::string& name, double value) {
  io::Json json = io::read_json(path);
  REQUIRE(json["finding"].contains(name));
  json["finding"][name] = value;
  io::write_json(path, json);
}

}  // namespace

TEST_CASE("what a trial of bf16 found is taken again for the same network and pictures, and for no other", "[module]") {
  Bench bench;
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  data::Listing listing = data::list_data(bench.options.data.data, {});
  engine::EngineOptions options{{}, 8, c10::Device(c10::kCPU)};
  options.preprocessing.size_px = 32;
  const std::vector<int64_t> rows = data::rows_of(listing, "train");
  io::Json network = {{"sha256", "1f"}, {"taps", {"mixed_2"}}};
  const std::string cache = bench.folder / "cache";
  const auto largest = [&] {
    SilentReporter silent;
    finetune::PrecisionTrial trial{body, listing, rows, options};
    trial.network = &network;
    trial.cache_dir = cache;
    return finetune::choose_precision("bf16", trial, silent).drift.value().largest;
  };
  const double found = largest();
  plant(finding_in(cache, "bf16"), "largest", 0.125);
  CHECK(largest() == 0.125);
  network["sha256"] = "20";
  CHECK(largest() == found);
  network["sha256"] = "1f";
  const std::string picture = listing.samples[static_cast<size_t>(rows[0])].file;
  test::put_file(picture, io::read_file(listing.samples[static_cast<size_t>(rows[1])].file));
  CHECK(largest() != 0.125);
}

TEST_CASE("what comparing an engine found is taken again for the same network, and for no other", "[module]") {
  Bench bench;
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options{{}, 8, c10::Device(c10::kCPU)};
  options.preprocessing.size_px = 32;
  options.is_frozen = true;
  io::Json network = {{"sha256", "1f"}, {"taps", {"mixed_2"}}};
  const std::string cache = bench.folder / "cache";
  const auto difference = [&] {
    SilentReporter silent;
    return finetune::choose_engine("torch", body, options, silent, {&network, cache})->report().difference;
  };
  const double found = difference();
  CHECK(found >= 0);
  const std::string finding = finding_in(cache, "engines");
  plant(finding, "difference", 0.5e-5);
  CHECK(difference() == 0.5e-5);
  options.batch_size = 9;
  CHECK(difference() == found);
  options.batch_size = 8;
  plant(finding, "difference", 0.5);  // beyond the bound: found anew
  CHECK(difference() == found);
}

TEST_CASE("bf16 that does for a network is chosen, and its drift from float32 said", "[module]") {
  Recorder recorder;
  const PrecisionChoice choice = choice_for("  return torch.relu(y)\n", recorder);
  CHECK(choice.precision == Precision::kBfloat16);
  CHECK(choice.fallback.empty());
  REQUIRE(choice.drift);
  CHECK(choice.drift->pictures == 8);
  CHECK(choice.drift->largest > 1e-5);
  CHECK(choice.drift->largest < 2e-2);  // eight bits a value, one layer
  CHECK(choice.drift->mean_cosine > 0.9999);
  CHECK_THAT(recorder.told, Catch::Contains("precision: bf16 by") && Catch::Contains("% of the largest value, cosine"));
}

TEST_CASE("where bf16 drifts too far or an operator has none, float32 is chosen in the open", "[module]") {
  Recorder recorder;
  // bf16 has eight bits: beside 1000 nothing below 2 is left.
  const PrecisionChoice drifted = choice_for("  return torch.sub(torch.add(y, 1000.), 1000.)\n", recorder);
  CHECK(drifted.precision == Precision::kFloat32);
  REQUIRE(drifted.drift);
  CHECK(drifted.drift->mean_cosine < finetune::kLeastCosine);
  CHECK_THAT(recorder.told,
             Catch::Contains("warning: precision: f32") && Catch::Contains("at least 0.99 is asked for"));
  io::Json record;
  finetune::add_to(record, drifted);
  CHECK(record["precision"] == "f32");
  CHECK(record["drift"]["mean_cosine"] == drifted.drift->mean_cosine);
  CHECK(record["precision_fallback"] == drifted.fallback);

  Recorder other;
  const PrecisionChoice failed = choice_for("  return torch.special_bessel_j0(y)\n", other);
  CHECK(failed.precision == Precision::kFloat32);
  CHECK_FALSE(failed.drift);
  CHECK_THAT(other.told, Catch::Contains("not implemented for 'BFloat16'"));
}

TEST_CASE("the drift is the worst element and the mean angle, and what is not finite is far", "[module]") {
  const at::Tensor f32 = at::tensor({3.0, 4.0, 0.0, 2.0}).view({2, 2});
  const finetune::Drift drift = finetune::drift_of(at::tensor({3.0, 4.0, 2.0, 0.0}).view({2, 2}), f32);
  CHECK(drift.largest == 0.5);
  CHECK(drift.mean_cosine == Approx(0.5));
  const at::Tensor zero = at::zeros({1, 2});
  CHECK(finetune::drift_of(zero, zero).mean_cosine == 1);
  CHECK(finetune::drift_of(at::ones({1, 2}), zero).mean_cosine == 0);
  const at::Tensor infinite = at::full({1, 2}, std::numeric_limits<float>::infinity());
  CHECK_FALSE(finetune::drift_of(infinite, at::ones({1, 2})).mean_cosine >= finetune::kLeastCosine);
}

TEST_CASE("in bf16 the bytes are the same with the cache in memory, on disk, found on disk, or off", "[module]") {
  for (const char* norms : {"train"}) {  // the others are held to it in float32
    INFO(norms);
    Bench bench;
    bench.options.compute.precision = "bf16";
    bench.options.optimizer.norms = norms;
    bench.options.skip_bad = true;
    test::put_file(bench.folder / "data/train/red/3.png", "no picture");
    const auto train = [&](const char* mode, const char* out) { return bench.train_with_cache(mode, out); };
    train("off", "off");
    train("memory", "memory");
    CHECK_THAT(train("disk", "disk"), Catch::Contains("precision: bf16") && !Catch::Contains("found on disk"));
    CHECK_THAT(train("disk", "again"), Catch::Contains("found on disk"));
    bench.options.compute.precision = "f32";
    CHECK_THAT(train("disk", "f32"), !Catch::Contains("found on disk"));  // not taken from bf16
    for (const char* out : {"memory", "disk", "again"}) {
      for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv", "skipped.csv"}) {
        INFO(out << "/" << name);
        CHECK(bench.bytes(out, name) == bench.bytes("off", name));
      }
    }
    CHECK(bench.bytes("f32", "model.pt") != bench.bytes("off", "model.pt"));
  }
}

TEST_CASE("a run in bf16 says so, learns as one in float32 does, and is judged in float32", "[module]") {
  Bench bench;
  bench.options.compute.precision = "f32";
  const io::Json f32 = bench.train("f32");
  CHECK(f32["precision"] == "f32");
  CHECK_FALSE(f32.contains("drift"));
  bench.options.compute.precision = "bf16";
  const io::Json bf16 = bench.train("bf16");
  CHECK(bf16["precision"] == "bf16");
  CHECK(bf16["drift"]["pictures"] == 8);
  CHECK(bf16["drift"]["mean_cosine"] > 0.999);
  CHECK(bf16["memory_difference"] <= 1e-5);  // between two float32 passes
  for (const io::Json& stage : bf16["stages"]) CHECK(stage["frozen"]["moved"].empty());
  CHECK(bf16["top1"].get<double>() == Approx(f32["top1"].get<double>()).margin(0.2));  // 3 of 15 pictures
  CHECK_THAT(bench.bytes("bf16", "run.toml"),
             Catch::Contains("precision = \"bf16\"") || Catch::Contains("precision = 'bf16'"));

  bench.options.compute.precision = "auto";
  const io::Json chosen = bench.train("auto");
  const std::string same = tensor::bf16_unit(at::kCPU).empty() ? "f32" : "bf16";
  CHECK(chosen["precision"] == same);
  CHECK(bench.bytes("auto", "model.pt") == bench.bytes(same, "model.pt"));
}
