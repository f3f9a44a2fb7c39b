#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>

#include "base/errors.h"
#include "base/stop.h"
#include "finetune/bench.h"
#include "tensor/device.h"

using namespace engraft;
using test::Bench;
using test::Recorder;

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

struct GpuBench : Bench {
  explicit GpuBench(const char* precision) {
    options.compute.device = "cuda";
    options.compute.precision = precision;
  }
};

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
    GpuBench bench(precision);
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
    GpuBench bench(precision);
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
    GpuBench bench(precision);
    const std::string problem = stop_and_resume(bench);
    if (skipped(problem == "no GPU" ? kNoGpu : 0)) return;
    REQUIRE(problem.empty());
    CHECK(train_in_child(bench, "stopped") == 0);
    check_same(bench, "stopped", "whole");
  }
}

TEST_CASE("a stop while the frozen blocks compute says what is left of it", "[slow]") {
  Bench bench;
  for (const auto& [mode, wanted] : {std::pair<std::string, std::string>{"memory", "with --cache disk it is kept"},
                                     {"disk", "goes on with the rows that the cache has"}}) {
    bench.options.cache.cache = mode;
    const int code = in_child([&] {
      StopAt reporter("features: ");
      try {
        finetune::run_training(bench.options, bench.folder / "stopped", io::Json::object(), reporter);
      } catch (const Stopped& stopped) {
        if (std::string(stopped.what()).find(wanted) != std::string::npos) return;
        throw std::runtime_error(stopped.what());
      }
      throw std::runtime_error("the run was not stopped");
    });
    CHECK(code == 0);
    CHECK_FALSE(std::filesystem::exists(bench.folder / "stopped"));
  }
}
