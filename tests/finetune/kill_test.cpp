// Runs that are killed at random moments, and at chosen ones, and gone on with end in the same bytes. Each run is a
// child process that this one forks, kills and watches; nothing here runs a network itself, so that children begin with
// a fresh LibTorch. ENGRAFT_TEST_KILLS is the number of random kills (default 120).
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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
  if (!fs::exists(out + "/run.toml", unknown)) return "feature pass";
  if (fs::exists(out + "/model.pt", unknown)) return "after model.pt";
  int whole = 0;
  bool is_renaming = false;
  for (const auto& entry : fs::recursive_directory_iterator(out, unknown)) {
    const std::string name = entry.path().filename().string();
    if (name.find("model.pt.tmp-") == 0) return "model.pt write";
    if (name.find(".tmp-step-") == 0) return "checkpoint write";
    is_renaming = is_renaming || name.find(".tmp-old-step-") == 0;
    whole += name.find("step-") == 0;
  }
  // Two are kept: with a third the rename is done and the oldest not yet removed.
  return is_renaming || whole > 2 ? "checkpoint rename" : "step";
}

/// Something that happens in a run's folder: a name that begins so appears in it, by writing or by renaming.
struct Event {
  const char* folder;  // below the run's
  const char* prefix;
  uint32_t mask;
};
const Event kCheckpointWrite = {"/checkpoints", ".tmp-step-", IN_CREATE};
const Event kCheckpointRename = {"/checkpoints", "step-", IN_MOVED_TO};
const Event kModelWrite = {"", "model.pt.tmp-", IN_CREATE};

/// Waits until `event` happens for the `count`-th time in the run at `out`; false where `child` ends before.
class Watch {
 public:
  Watch(const std::string& out, const Event& event) : path_(out + event.folder), event_(event) {}
  ~Watch() {
    if (notify_ >= 0) ::close(notify_);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  bool wait(pid_t child, int count) {
    while (count > 0) {
      siginfo_t info{};
      if (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child) {
        return false;
      }
      if (notify_ < 0) {
        begin();
        if (notify_ < 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
        continue;
      }
      pollfd ready{notify_, POLLIN, 0};
      if (::poll(&ready, 1, 20) > 0) count -= read_events();
    }
    return true;
  }

 private:
  void begin() {
    const int notify = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (::inotify_add_watch(notify, path_.c_str(), event_.mask) < 0) {
      ::close(notify);
      return;
    }
    notify_ = notify;
  }
  int read_events() const {
    alignas(inotify_event) char buffer[4096];
    const ssize_t got = ::read(notify_, buffer, sizeof buffer);
    int seen = 0;
    for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      seen += std::string(event->name).rfind(event_.prefix, 0) == 0;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
    return seen;
  }

  std::string path_;
  Event event_;
  int notify_ = -1;
};

int random_kills() {
  const char* wanted = std::getenv("ENGRAFT_TEST_KILLS");
  return wanted == nullptr ? 120 : std::max(1, std::atoi(wanted));
}

/// Kills runs of one training, each gone on with until it ends, and holds the ends against an uninterrupted one.
class Executioner {
 public:
  Executioner() {
    test::draw_run_pictures(folder_ / "data");
    REQUIRE(wait_for(start([&] { test::save_small_net(folder_.path()); })) == 0);
    options_ = test::example_run(folder_.path());
    options_.epochs = 12;
    options_.augment = "flip,shift=0.1";
    options_.views = 3;
    options_.stage = {"unfreeze=mixed_1,epochs=6,optimizer=sgd,learning_rate=0.01,ema=0.9,accumulate=2",
                      "unfreeze=mixed_2,epochs=6,optimizer=rmsprop,learning_rate=0.001,norms=train,clip_norm=1"};
    options_.compute.threads = 1;
    options_.checkpoint_every = 0.03;
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(wait_for(start([&] { train_once(options_, folder_ / "whole"); })) == 0);
    whole_ = std::chrono::steady_clock::now() - begin;
    options_.resume = true;
  }

  int kills() const { return kills_; }
  int count(const std::string& phase) { return phases_[phase]; }
  const std::map<std::string, int>& phases() const { return phases_; }
  int runs() const { return runs_; }

  /// One run, killed at random moments of it and of what goes on with it.
  void random_run() {
    run([&](pid_t) { std::this_thread::sleep_for(whole_ * random_.uniform(0.0, 1.1)); });
  }
  /// One run, killed once when `event` happens for the first to fourth time, or a moment later.
  void run_killed_at(const Event& event) {
    bool is_first = true;
    Watch watch(next_out(), event);
    const int count = event.folder[0] == '\0' ? 1 : 1 + static_cast<int>(random_.below(4));
    run([&](pid_t child) {
      if (is_first) watch.wait(child, count);
      if (!is_first) return wait_for_end(child);
      is_first = false;
    });
  }
  /// One run, killed once while the frozen blocks compute.
  void run_killed_early() {
    bool is_first = true;
    run([&](pid_t child) {
      if (!is_first) return wait_for_end(child);
      std::this_thread::sleep_for(whole_ * random_.uniform(0.0, 0.1));
      is_first = false;
    });
  }

 private:
  std::string next_out() const { return folder_ / ("run-" + std::to_string(runs_)); }
  static void wait_for_end(pid_t child) {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  }

  /// `until` returns when the child is to be killed, if it still runs.
  template <class Until>
  void run(const Until& until) {
    const std::string out = next_out();
    ++runs_;
    for (;;) {
      const pid_t child = start([&] { train_once(options_, out); });
      until(child);
      ::kill(child, SIGKILL);
      const int code = wait_for(child);
      INFO("after " << kills_ << " kills");
      REQUIRE((code == 0 || code == -SIGKILL));
      if (code == 0) break;
      ++kills_;
      ++phases_[phase_of(out)];
    }
    require_same(out);
    fs::remove_all(out);
  }

  void require_same(const std::string& out) const {
    std::string different;
    for (const char* name : {"model.pt", "metrics.jsonl", "metrics.csv", "predictions.csv"}) {
      if (io::read_file(out + "/" + name) != io::read_file(folder_ / "whole/" + name))
        different += std::string(" ") + name;
    }
    INFO("run " << runs_ << " after " << kills_ << " kills");
    REQUIRE(different.empty());
    CHECK_FALSE(fs::exists(out + "/checkpoints"));
    for (const auto& entry : fs::directory_iterator(out)) {
      CHECK(entry.path().filename().string().find(".tmp-") == std::string::npos);
    }
  }

  test::TempFolder folder_;
  finetune::TrainOptions options_;
  std::chrono::duration<double> whole_{};
  RandomStream random_{20, {}};
  std::map<std::string, int> phases_;
  int kills_ = 0, runs_ = 0;
};

}  // namespace

TEST_CASE("a run that is killed at any moment and resumed ends in the same bytes", "[slow]") {
  constexpr int kLeastOfEach = 5, kMostTries = 60;
  Executioner executioner;
  const int wanted = random_kills();
  while (executioner.kills() < wanted) executioner.random_run();
  const auto aim = [&](const char* phase, const auto& kill_once) {
    for (int i = 0; i < kMostTries && executioner.count(phase) < kLeastOfEach; ++i) kill_once();
  };
  aim("feature pass", [&] { executioner.run_killed_early(); });
  aim("checkpoint write", [&] { executioner.run_killed_at(kCheckpointWrite); });
  aim("checkpoint rename", [&] { executioner.run_killed_at(kCheckpointRename); });
  aim("model.pt write", [&] { executioner.run_killed_at(kModelWrite); });
  std::printf("%d kills in %d runs:", executioner.kills(), executioner.runs());
  for (const auto& [phase, count] : executioner.phases()) std::printf(" %s %d;", phase.c_str(), count);
  std::printf("\n");
  for (const char* phase : {"feature pass", "step", "checkpoint write", "checkpoint rename", "model.pt write"}) {
    INFO(phase);
    CHECK(executioner.count(phase) >= kLeastOfEach);
  }
}
