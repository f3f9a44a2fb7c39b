#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/report.h"
#include "sweep/claim.h"
#include "sweep/plan.h"

namespace engraft::sweep {

struct WorkOptions {
  /// Compute threads of each training; 0: as its options say.
  int64_t threads = 0;

  /// Ends after the first trial that fails.
  bool stops_first = false;
  /// Which trials keep their model.pt: "all", or "none". A stack's heads have none.
  std::string models = "none";
  /// This group alone, waiting for whoever works on it; empty: all that nobody works on.
  std::string group;
  double poll_s = 5;
  /// Where features and activations are kept for the other groups; an empty folder: `cache` in the sweep's.
  std::string cache_dir;
  double cache_limit = 20;
  ClaimOptions claims;
};

/// Claims one group of the plan in folder `sweep` after another that nobody works on and is not done, those first whose
/// features were just computed, and runs its trials, until none is left. A trial that ends in an error is
/// recorded with it, unless that is this machine's: a SystemError, and a backbone or data set that cannot be found, are
/// thrown. `on_trial` hears the place of each that ended. Throws Stopped, leaving what can be gone on from.
void work(const std::string& sweep, const Plan& plan, const WorkOptions& options, Reporter& reporter,
          const std::function<void(size_t place)>& on_trial);

}  // namespace engraft::sweep
