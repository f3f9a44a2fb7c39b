#pragma once

#include <cstdint>
#include <string>

namespace engraft::train {

/// How the learning rate moves over a stage.
struct Schedule {
  /// "cosine" (to 0 at the end) or "constant".
  std::string shape = "cosine";
  /// Peak rate, reached at the end of warm-up.
  double learning_rate = 1e-3;
  int64_t warmup_steps = 0;
  /// Steps of the whole stage, warm-up included.
  int64_t total_steps = 1;
};

/// The rate of step `step` (from 0): linear warm-up learning_rate · (step + 1) / warmup_steps, then for cosine
/// learning_rate · (1 + cos(π · t)) / 2 with t = the share of the remaining steps done (Loshchilov and Hutter 2017,
/// without restarts).
double rate_at(const Schedule& schedule, int64_t step);

}  // namespace engraft::train
