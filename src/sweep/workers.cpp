#include "sweep/workers.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/stop.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "io/toml.h"
#include "sweep/state.h"

namespace engraft::sweep {

namespace {

constexpr int kCannotStart = 127;
constexpr const char* kDoing = "sweeping; the same command goes on";

/// A child that is told to stop when this process is gone, however that comes about.
pid_t start(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid(), process = ::fork();
  if (process < 0) throw SystemError::from_errno("start", command.front());
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() == parent) ::execv(arguments.front(), arguments.data());
    ::_exit(kCannotStart);
  }
  return process;
}

bool is_stop(int code) {
  return code == static_cast<int>(ExitCode::kStopped) || code == static_cast<int>(ExitCode::kInterrupted);
}

std::string end_text(int status) {
  if (WIFSIGNALED(status)) {
    return text::cat("killed by signal ", WTERMSIG(status), " (", ::strsignal(WTERMSIG(status)),
                     WTERMSIG(status) == SIGKILL ? "; out of memory?)" : ")");
  }
  return text::cat("ended with exit code ", WEXITSTATUS(status));
}

class Workers {
 public:
  Workers(const std::string& sweep, const Plan& plan, const WorkersOptions& options, Reporter& reporter)
      : sweep_(sweep), plan_(plan), options_(options), reporter_(reporter) {}

  void run() {
    ::signal(SIGCHLD,
             SIG_DFL);  // where it is ignored, as whoever started us may have left it, nobody can be waited for
    try {
      while (true) {
        const Status now = status_of(sweep_, plan_);
        reporter_.progress("sweep", now.done + now.failed, now.total(),
                           now.failed > 0 ? text::cat(now.failed, " failed") : "");
        const bool ends = now.waiting + now.running == 0 || (options_.stops_first && now.failed > failed_before());
        if (ends && options_.stops_first) stop_all();
        if (ends && running_.empty()) break;
        if (now.done + now.failed > ended_) deaths_in_a_row_ = 0;
        ended_ = now.done + now.failed;
        throw_if_stopped(kDoing);
        if (!ends && now.waiting > 0) fill_up();
        if (running_.empty() && now.running > 0 && !tells_whom_) {
          tells_whom_ = true;
          reporter_.note("waiting for " + text::join(now.workers, "; "));
        }
        const double rounds = 1 + static_cast<double>(plan_.trials.size()) / 1000;
        std::this_thread::sleep_for(std::chrono::duration<double>(options_.poll_s * rounds));
        throw_if_stopped(kDoing);  // before what a signal to all of us did to the workers
        reap();
      }
    } catch (...) {
      stop_all();
      throw;
    }
  }

 private:
  int64_t failed_before() {
    if (failed_before_ < 0) failed_before_ = status_of(sweep_, plan_).failed;
    return failed_before_;
  }

  void fill_up() {
    while (static_cast<int64_t>(running_.size()) < options_.count) running_.push_back(start(options_.command));
  }

  void reap() {
    for (size_t i = running_.size(); i-- > 0;) {
      int status = 0;
      if (::waitpid(running_[i], &status, WNOHANG) != running_[i]) continue;
      const pid_t process = running_[i];
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
      if (WIFEXITED(status) && is_stop(WEXITSTATUS(status)))
        throw Stopped(static_cast<ExitCode>(WEXITSTATUS(status)), "stopped while sweeping; the same command goes on");
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
      if (code == static_cast<int>(ExitCode::kBadInput) || code == static_cast<int>(ExitCode::kUsage))
        throw DataError("a worker cannot go on, for what it said above");
      take_note_of_death(process, status);
    }
  }

  /// What the dead worker had claimed, if it had; see holder_of.
  void take_note_of_death(pid_t process, int status) {
    for (const Group& group : plan_.groups) {
      const bool is_left = std::any_of(group.trials.begin(), group.trials.end(), [&](size_t place) {
        return ended_state(sweep_, plan_.trials[place].id) == TrialState::kWaiting;
      });
      if (!is_left || !was_claimed_by(group_folder(sweep_, group.id), process)) continue;
      reporter_.warn(
          text::cat("a worker ", WIFSIGNALED(status) ? "was " : "", end_text(status), " at group ", group.id));
      if (++deaths_[group.id] >= kMostDeaths) fail(group, status);
      return;
    }
    reporter_.warn(text::cat("a worker ", WIFSIGNALED(status) ? "was " : "", end_text(status)));
    if (++deaths_in_a_row_ >= kMostDeaths)
      throw SystemError(text::cat(kMostDeaths, " workers in a row ended by themselves; the last ", end_text(status)));
  }

  void fail(const Group& group, int status) {
    const std::unique_ptr<Claim> claim = Claim::take(group_folder(sweep_, group.id));
    if (claim == nullptr) return;
    for (const size_t place : group.trials) {
      const std::string& id = plan_.trials[place].id;
      if (ended_state(sweep_, id) != TrialState::kWaiting) continue;
      const std::string work = work_folder(sweep_, id, claim->token());
      io::make_folders(work);
      io::write_file(work + "/" + kRunFile, io::to_toml(plan_.trials[place].options));
      io::write_json(
          work + "/error.json",
          io::Json{{"error", text::cat(kMostDeaths, " workers died on it; the last was ", end_text(status))}});
      publish(sweep_, id, work);
    }
  }

  void stop_all() {
    for (const pid_t process : running_) ::kill(process, SIGTERM);
    for (const pid_t process : running_) {
      int status = 0;
      while (::waitpid(process, &status, 0) < 0 && errno == EINTR) continue;
    }
    running_.clear();
  }

  const std::string sweep_;
  const Plan& plan_;
  const WorkersOptions& options_;
  Reporter& reporter_;
  std::vector<pid_t> running_;
  std::map<std::string, int64_t> deaths_;
  int64_t failed_before_ = -1;
  bool tells_whom_ = false;  // it waits for
  int64_t ended_ = 0;
  int64_t deaths_in_a_row_ = 0;  // that no group is to blame for, since a trial ended
};

}  // namespace

void run_workers(const std::string& sweep, const Plan& plan, const WorkersOptions& options, Reporter& reporter) {
  Workers(sweep, plan, options, reporter).run();
}

}  // namespace engraft::sweep
