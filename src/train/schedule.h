#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::train {

/// How the learning rate moves over a stage. Steps are batches.
struct Schedule {
  /// "constant", "cosine" (to 0 at the end), "one_cycle" (up to the peak in the first 30 % and down to 0), "step"
  /// (times `factor` every `step_every` steps), "plateau" (times `factor` after `patience` epochs without a lower
  /// loss).
  std::string shape = "cosine";
  /// Peak rate, reached at the end of warm-up.
  double learning_rate = 1e-3;
  /// one_cycle, which rises by itself, takes none.
  int64_t warmup_steps = 0;
  double factor = 0.1;
  int64_t step_every = 1;
  int64_t patience = 5;
  /// Steps of the whole stage, warm-up included.
  int64_t total_steps = 1;
};

/// The rate of step `step` (from 0): linear warm-up peak · (step + 1) / warmup_steps; then with n steps since warm-up
/// and N in all without it:
///   constant   peak
///   cosine     peak · (1 + cos(π · n / N)) / 2 (Loshchilov and Hutter 2017, without restarts)
///   one_cycle  as torch's OneCycleLR with its defaults over total_steps: by cosines from peak / 25 up to the peak in
///              the first 30 % and down to peak / 250,000 at the last step (Smith and Topin 2018); momentum stays
///   step       peak · factor^⌊n / step_every⌋
///   plateau    peak · factor^reductions, in warm-up as well
/// Throws UsageError for another shape, for a step_every below 1, and for one_cycle with warm-up.
double rate_at(const Schedule& schedule, int64_t step, int64_t reductions = 0);

/// How often a plateau lowered the rate after the epochs with these validation losses: each time more than `patience`
/// epochs in a row were none below the best by more than a 10,000th of it, as torch's ReduceLROnPlateau counts.
int64_t plateau_reductions(const std::vector<double>& val_losses, int64_t patience);

}  // namespace engraft::train
