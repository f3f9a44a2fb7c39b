#pragma once

#include <string>
#include <vector>

#include "sweep/plan.h"

namespace engraft::sweep {

struct SlurmOptions {
  /// What each task runs for one group, whose id follows.
  std::vector<std::string> command;
  /// Lines for sbatch beside those that are written: "--partition=gpu", "--gres=gpu:1".
  std::vector<std::string> settings;
  /// Compute threads of each; 0: as many cores as the task has.
  int64_t threads = 0;
  /// Tasks that run at the same time at most; 0: as many as Slurm lets.
  int64_t at_once = 0;
};

/// The array job for the groups of `plan` in folder `sweep` of which a trial is left: one task each, which is warned
/// 120 s before its time is over, stops with what can be gone on from, and is queued again where it ends by exit code
/// 75 after that warning; Slurm itself queues those again whose node fails. More groups than kMostTasks share tasks.
/// Empty where nothing is left.
inline constexpr size_t kMostTasks = 1000;
std::string slurm_script(const std::string& sweep, const Plan& plan, const SlurmOptions& options);

/// Writes slurm_script() as slurm/job.sh in the folder and hands it to sbatch; the job's number. Throws UsageError
/// without sbatch, SystemError with what it said where it refuses.
std::string submit_to_slurm(const std::string& sweep, const std::string& script);

}  // namespace engraft::sweep
