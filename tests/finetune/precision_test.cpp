#include "finetune/precision.h"

#include <ATen/ATen.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <iostream>
#include <limits>

#include "base/errors.h"
#include "base/stop.h"
#include "finetune/bench.h"
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

}  // namespace

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

namespace {

constexpr int kFailed = 9;
constexpr int kNoGpu = 77;

/// How `work` ends in a process of its own: 0, kFailed after saying why, or kNoGpu. Neither the stop flag nor OpenMP
/// nor CUDA survive in one process what the tests below do.
int in_child(const std::function<void()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
      ::_exit(0);
    } catch (const UsageError& error) {
      const bool no_gpu = std::string(error.what()).find("--device cuda") != std::string::npos;
      std::fprintf(stderr, "child: %s\n", error.what());
      ::_exit(no_gpu ? kNoGpu : kFailed);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
      ::_exit(kFailed);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Asks the run to stop once it says `line`.
struct StopAt : SilentReporter {
  explicit StopAt(std::string text) : line(std::move(text)) {}
  void note(const std::string& told) override {
    if (told.find(line) != std::string::npos) request_stop(SIGTERM);
  }
  std::string line;
};

int train_in_child(const Bench& bench, const std::string& out) {
  return in_child([&] {
    SilentReporter silent;
    finetune::run_training(bench.options, bench.folder / out, io::Json::object(), silent);
  });
}

/// Trains to the end, and again with a stop after the first epoch of stage 2; "" or what went wrong.
std::string stop_and_resume(Bench& bench) {
  const int whole = train_in_child(bench, "whole");
  if (whole == kNoGpu) return "no GPU";
  if (whole != 0) return "the whole run failed";
  const int stopped = in_child([&] {
    StopAt reporter("stage 2 epoch 1");
    try {
      finetune::run_training(bench.options, bench.folder / "stopped", io::Json::object(), reporter);
    } catch (const Stopped&) {
      return;
    }
    throw std::runtime_error("the run was not stopped");
  });
  if (stopped != 0) return "stopping failed";
  bench.options.resume = true;
  return "";
}

void check_same(const Bench& bench, const std::string& a, const std::string& b) {
  for (const char* name : {"model.pt", "metrics.jsonl", "predictions.csv"}) {
    INFO(a << " and " << b << ", " << name);
    CHECK(bench.bytes(a, name) == bench.bytes(b, name));
  }
}

/// True after printing the line that ctest shows.
bool skipped(int code) {
  if (code == kNoGpu) std::cout << "SKIPPED: no GPU that LibTorch can use" << std::endl;
  return code == kNoGpu;
}

}  // namespace

TEST_CASE("a run in bf16 that is stopped and resumed ends in the same bytes, and in bf16 only", "[slow]") {
  Bench bench;
  bench.options.compute.precision = "bf16";
  REQUIRE(stop_and_resume(bench).empty());
  const int refused = in_child([&] {
    bench.options.compute.precision = "f32";
    SilentReporter silent;
    try {
      finetune::run_training(bench.options, bench.folder / "stopped", io::Json::object(), silent);
    } catch (const DataError& error) {
      if (std::string(error.what()).find("precision (\"bf16\", now \"f32\")") != std::string::npos) return;
      throw;
    }
    throw std::runtime_error("the run went on in float32");
  });
  CHECK(refused == 0);
  CHECK(train_in_child(bench, "stopped") == 0);
  check_same(bench, "stopped", "whole");
}

TEST_CASE("on a GPU the head and every stage learn, and what is frozen stays as it was", "[gpu]") {
  for (const char* precision : {"f32", "bf16"}) {
    INFO(precision);
    Bench bench;
    bench.options.compute.device = "cuda";
    bench.options.compute.precision = precision;
    const int code = train_in_child(bench, "run");
    if (skipped(code)) return;
    REQUIRE(code == 0);
    const io::Json result = io::parse_json(bench.bytes("run", "result.json"), "result.json");
    CHECK(result["device"] == "cuda:0");
    CHECK(result["precision"] == precision);
    CHECK(result["memory_difference"] <= 1e-5);
    REQUIRE(result["stages"].size() == 3);
    for (const io::Json& stage : result["stages"]) {
      CHECK(stage["frozen"]["moved"].empty());
      CHECK(stage["last"]["train_loss"] < 1.2);
    }
    CHECK(result["stages"][2]["frozen"]["blocks"] == 1);
    CHECK(result["top1"] > 0.6);
  }
}

TEST_CASE("on a GPU the bytes are the same with the cache in its memory, on disk, or off", "[gpu]") {
  for (const char* precision : {"f32", "bf16"}) {
    INFO(precision);
    Bench bench;
    bench.options.compute.device = "cuda";
    bench.options.compute.precision = precision;
    for (const char* mode : {"off", "memory", "disk"}) {
      bench.options.cache.cache = mode;
      const int code = in_child([&] {
        Recorder recorder;
        finetune::run_training(bench.options, bench.folder / mode, io::Json::object(), recorder);
        const bool on_device = recorder.told.find("in memory of cuda:0") != std::string::npos;
        if (on_device != (std::string(mode) == "memory")) throw std::runtime_error(recorder.told);
      });
      if (skipped(code)) return;
      REQUIRE(code == 0);
    }
    check_same(bench, "memory", "off");
    check_same(bench, "disk", "off");
  }
}

TEST_CASE("on a GPU a run that is stopped and resumed ends in the same bytes", "[gpu]") {
  for (const char* precision : {"f32", "bf16"}) {
    INFO(precision);
    Bench bench;
    bench.options.compute.device = "cuda";
    bench.options.compute.precision = precision;
    const std::string problem = stop_and_resume(bench);
    if (skipped(problem == "no GPU" ? kNoGpu : 0)) return;
    REQUIRE(problem.empty());
    CHECK(train_in_child(bench, "stopped") == 0);
    check_same(bench, "stopped", "whole");
  }
}
