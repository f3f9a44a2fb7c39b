#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "train/fit.h"

namespace engraft::train {

struct RangeOptions {
  double lowest = 1e-7;
  /// 10 for sgd and 1 for the others where not given.
  std::optional<double> highest;
  int64_t steps = 100;
};

struct RangePoint {
  double learning_rate = 0;
  /// Of the step's batch, before the step.
  double loss = 0;
  /// Exponential mean of the losses so far, 0.98 of the old at each step, without the bias of its start. Each loss is
  /// taken less what its batch's lay above the batches' mean before the test: batches differ by more than one step
  /// moves.
  double smoothed = 0;
};

/// What the learning rate range test found (Smith 2017, "Cyclical learning rates for training neural networks").
struct RateRange {
  /// One a step; fewer than were asked for where the loss ran away.
  std::vector<RangePoint> points;
  // Both leave out the first tenth of the range.
  /// The suggestion: where the smoothed loss fell most steeply over the log of the rate, measured over a tenth of the
  /// range, before its lowest point; below_best where it never fell.
  double steepest = 0;
  /// A tenth of the rate at the lowest smoothed loss.
  double below_best = 0;
};

/// Trains with a rate that rises exponentially from step to step, going round the first epoch's batches as often as
/// needed, with the optimiser, loss and clipping of `options` and one batch a step; ends where the smoothed loss passes
/// four times its lowest (or 4 % of its first, if that is more) or the loss is not finite. The trainee is left as it
/// was to the bit, also by an exception, in eval mode and without gradients. Throws UsageError for lbfgs, for rates
/// that are not 0 < lowest < highest, and for fewer than 10 steps; ModelError where the loss before the test is not
/// finite; Stopped when a signal asked for it.
RateRange range_test(Trainee& trainee, BatchSource& train, const FitOptions& options, const RangeOptions& range,
                     Reporter& reporter);

}  // namespace engraft::train
