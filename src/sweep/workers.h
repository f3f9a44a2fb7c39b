#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "sweep/plan.h"

namespace engraft::sweep {

struct WorkersOptions {
  int64_t count = 1;
  /// The worker's program and arguments.
  std::vector<std::string> command;
  /// Nothing more is begun after the first trial that fails.
  bool stops_first = false;
  double poll_s = 0.2;  // of a thousand trials; more are looked at less often
};

/// Keeps so many worker processes at the plan in folder `sweep` until every trial has ended, here or by workers
/// elsewhere. One that dies is replaced; trials of a group on which kMostDeaths died are recorded as failed. When a
/// signal asks to stop, it is handed on, and Stopped is thrown once the workers have ended. Throws SystemError where
/// none can be started, and where kMostDeaths in a row ended by themselves and no trial did; they have said why.
void run_workers(const std::string& sweep, const Plan& plan, const WorkersOptions& options, Reporter& reporter);
inline constexpr int64_t kMostDeaths = 3;

}  // namespace engraft::sweep
