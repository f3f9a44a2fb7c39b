#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sweep/plan.h"

namespace engraft::sweep {

/// What is left of a sweep to be done.
struct Cost {
  /// Sets of features that trials left need, and pictures that run through the network for them, if no cache has them.
  int64_t sets_of_features = 0, pictures = 0;
  /// Of heads on features.
  int64_t epochs_of_heads = 0;
  /// Trials with stages of blocks that learn, which run more of the network each epoch.
  int64_t staged = 0;
  /// Of one worker, at the pace of the trials that are done, stacked heads and single trainings by themselves. None
  /// where a kind is left of which none is done.
  std::optional<double> seconds;
};

/// Reads the results of what is done.
Cost cost_of(const std::string& sweep, const Plan& plan);

}  // namespace engraft::sweep
