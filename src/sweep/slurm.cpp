#include "sweep/slurm.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "sweep/state.h"

extern char** environ;

namespace engraft::sweep {

namespace {

constexpr int kWarnedBefore_s = 120;

/// For a POSIX shell.
std::string quoted(const std::string& word) { return "'" + text::replace_all(word, "'", "'\\''") + "'"; }

struct Said {
  int code = 0;
  std::string text;  // stdout and stderr
};

/// Runs a program that is looked for in PATH. Throws UsageError where there is none.
Said run(const std::vector<std::string>& command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw SystemError("cannot make a pipe");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t process = 0;
  const int error = ::posix_spawnp(&process, arguments.front(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    throw UsageError(command.front() + ": " + std::strerror(error) + "; --submit slurm needs a cluster's own commands");
  }
  Said said;
  std::array<char, 4096> piece;
  for (ssize_t got; (got = ::read(ends[0], piece.data(), piece.size())) != 0;) {
    if (got < 0 && errno != EINTR) break;
    if (got > 0) said.text.append(piece.data(), static_cast<size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) continue;
  said.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return said;
}

}  // namespace

std::string slurm_script(const std::string& sweep, const Plan& plan, const SlurmOptions& options) {
  std::vector<std::string> groups;
  for (const Group& group : plan.groups) {
    for (const size_t place : group.trials) {
      if (ended_state(sweep, plan.trials[place].id) != TrialState::kWaiting) continue;
      groups.push_back(group.id);
      break;
    }
  }
  if (groups.empty()) return "";
  const size_t tasks = std::min(groups.size(), kMostTasks);
  std::string out =
      text::cat("#!/bin/sh\n#SBATCH --job-name=engraft\n#SBATCH --array=0-", tasks - 1,
                options.at_once > 0 ? text::cat("%", options.at_once) : "",
                "\n#SBATCH --requeue\n#SBATCH --open-mode=append\n#SBATCH --signal=B:USR1@", kWarnedBefore_s, "\n");
  for (const std::string& setting : options.settings) out += "#SBATCH " + setting + "\n";
  out += text::cat("\n# Groups of plan.json of which a trial was left; task N takes those at N, N + ", tasks,
                   ", …\ntasks=", tasks, "\nset --");
  for (const std::string& group : groups) out += " " + group;
  out +=
      "\n\n# Warned that its time is over, a worker stops with what can be gone on from, and the task is queued "
      "again.\n"
      "warned=\n"
      "trap 'warned=yes; kill -USR1 \"$worker\" 2>/dev/null' USR1\n"
      "trap 'kill -TERM \"$worker\" 2>/dev/null' TERM\n"
      "place=0\nfor group in \"$@\"; do\n"
      "  if [ $((place % tasks)) = \"$SLURM_ARRAY_TASK_ID\" ]; then\n    ";
  for (const std::string& word : options.command) out += quoted(word) + " ";
  out += "--group \"$group\" --threads ";
  out += options.threads > 0 ? std::to_string(options.threads) : "\"${SLURM_CPUS_PER_TASK:-1}\"";
  out +=
      " &\n    worker=$!\n"
      "    while :; do\n      wait \"$worker\"\n      code=$?\n      kill -0 \"$worker\" 2>/dev/null || break\n    "
      "done\n"
      "    if [ \"$code\" = 75 ] && [ -n \"$warned\" ]; then scontrol requeue \"$SLURM_JOB_ID\"; fi\n"
      "    if [ \"$code\" != 0 ]; then exit \"$code\"; fi\n"
      "  fi\n  place=$((place + 1))\ndone\n";
  return out;
}

std::string submit_to_slurm(const std::string& sweep, const std::string& script) {
  const std::string path = sweep + "/slurm/job.sh";
  io::make_folders(sweep + "/slurm");
  io::write_file(path, script);
  const std::string folder = std::filesystem::absolute(sweep).lexically_normal();
  const std::string logs = text::replace_all(folder, "%", "%%") + "/slurm/%A_%a.log";
  const Said said = run({"sbatch", "--parsable", "--output=" + logs, path});
  if (said.code != 0) throw SystemError("sbatch refuses " + path + ": " + text::trim(said.text));
  // A site's own words may stand around the number, and the cluster's name behind it.
  for (const std::string& line : text::split(said.text, '\n')) {
    const std::string word = text::split(text::trim(line), ';').front();
    if (text::to_int(word)) return word;
  }
  throw SystemError("sbatch gives no number of a job: " + text::trim(said.text));
}

}  // namespace engraft::sweep
