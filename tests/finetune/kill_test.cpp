// Runs that are killed at random moments and gone on with end in the same bytes. Each run is a child process that this
// one forks, kills and watches; nothing here runs a network itself, so that children begin with a fresh LibTorch.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <thread>

#include "base/errors.h"
#include "base/random.h"
#include "finetune/example_run.h"
#include "finetune/run.h"
#include "io/atomic_file.h"
#include "support/nets.h"
#include "support/support.h"

using namespace engraft;

namespace fs = std::filesystem;

namespace {

constexpr int kFailed = 9;

/// Starts `work` in a child, which ends with 0, or kFailed after saying why.
template <class Work>
pid_t start(const Work& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    work();
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
    ::_exit(kFailed);
  }
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void train_once(const finetune::TrainOptions& options, const std::string& out) {
  SilentReporter silent;
  finetune::run_training(options, out, io::Json::object(), silent);
}

/// What a run was doing when it was killed, by what it left.
std::string phase_of(const std::string& out) {
  std::error_code unknown;
  if (!fs::exists(out + "/run.toml", unknown)) return "before the run folder";
  if (fs::exists(out + "/model.pt", unknown)) return "model.pt and after";
  bool has_checkpoint = false;
  for (const auto& entry : fs::recursive_directory_iterator(out, unknown)) {
    const std::string name = entry.path().filename().string();
    if (name.find(".tmp-step-") == 0) return "checkpoint write";
    if (name.find("model.pt.tmp-") == 0) return "model.pt write";
    if (name.find(".tmp-old-step-") == 0) return "checkpoint rename";
    has_checkpoint = has_checkpoint || name.find("step-") == 0;
  }
  return has_checkpoint ? "steps" : "steps before a checkpoint";
}

}  // namespace

TEST_CASE("a run that is killed at any moment and resumed ends in the same bytes", "[slow]") {
  constexpr int kKills = 120;
  test::TempFolder folder;
  test::draw_run_pictures(folder / "data");
  REQUIRE(wait_for(start([&] { test::save_small_net(folder.path()); })) == 0);
  finetune::TrainOptions options = test::example_run(folder.path());
  options.epochs = 12;
  options.optimizer.optimizer = "adamw";
  options.stage = {"unfreeze=mixed_1,epochs=6,optimizer=sgd,learning_rate=0.01",
                   "unfreeze=mixed_2,epochs=6,optimizer=rmsprop,learning_rate=0.001"};
  options.compute.threads = 1;
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(wait_for(start([&] { train_once(options, folder / "whole"); })) == 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begin;

  options.resume = true;
  RandomStream random(20, {});
  std::map<std::string, int> phases;
  int kills = 0, runs = 0;
  while (kills < kKills) {
    const std::string out = folder / ("run-" + std::to_string(runs++));
    for (;;) {
      const pid_t child = start([&] { train_once(options, out); });
      std::this_thread::sleep_for(whole * random.uniform(0.0, 1.1));
      ::kill(child, SIGKILL);
      const int code = wait_for(child);
      INFO("after " << kills << " kills");
      REQUIRE((code == 0 || code == -SIGKILL));
      if (code == 0) break;
      ++kills;
      ++phases[phase_of(out)];
    }
    std::string different;
    for (const char* name : {"model.pt", "metrics.jsonl", "metrics.csv", "predictions.csv"}) {
      if (io::read_file(out + "/" + name) != io::read_file(folder / "whole/" + name))
        different += std::string(" ") + name;
    }
    INFO("run " << runs << " after " << kills << " kills");
    REQUIRE(different.empty());
    CHECK_FALSE(fs::exists(out + "/checkpoints"));
    for (const auto& entry : fs::directory_iterator(out)) {
      CHECK(entry.path().filename().string().find(".tmp-") == std::string::npos);
    }
  }
  std::printf("%d kills in %d runs:", kills, runs);
  for (const auto& [phase, count] : phases) std::printf(" %s %d;", phase.c_str(), count);
  std::printf("\n");
  CHECK(phases["steps"] >= 5);
}
