#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "finetune/head_cohort.h"
#include "train/fit.h"

namespace engraft::finetune {

/// Whether two trials can stand in one stack: the same batches in the same order (seed, stage, epochs, batch_size,
/// balance_by), the same loss, rule of the update and shape of the head. Free are rates and all else of the schedule,
/// weight decay, probabilities of dropout, patience. Neither begins with a layer without weights, averages weights,
/// accumulates, clips gradients, learns from a teacher nor takes lbfgs, each of which fit() does.
bool can_stand_together(const HeadTrial& a, const HeadTrial& b);

struct StackOptions {
  /// Successive halving (Jamieson and Talwalkar 2016): after an eighth, a quarter and a half of the epochs the better
  /// half of the trials that are left goes on. The others keep what they had.
  bool halves = false;
  /// The last epoch is kept instead of the best.
  bool takes_last = false;
};

struct HeadOutcome {
  /// Why the trial has no head: its loss was not finite.
  std::string failure;
  std::vector<train::EpochRecord> epochs;
  /// Index into epochs of the best.
  size_t best = 0;
  /// Ended before its last epoch: out of patience, or halved away.
  bool is_cut_short = false;
  /// Of these, halved away.
  bool is_halved = false;
  /// Of the epoch that is kept: parameters as Head names them, and what they give for the validation rows.
  std::vector<tensor::NamedTensor> parameters;
  train::Outputs outputs;
};

/// Trains all `trials`, which can_stand_together(), as fit() trains a HeadTrainee of each, to rounding: the heads'
/// layers are stacked, each batch is read once, and one matrix product serves all of them. A trial does not depend on
/// which others stand beside it but for rounding. `on_epoch` hears how many trials still learn. Throws UsageError for
/// trials that cannot stand together, as fit() does for their options, and Stopped.
std::vector<HeadOutcome> fit_heads(const std::vector<HeadTrial>& trials, train::BatchSource& train,
                                   train::BatchSource& val, const StackOptions& options, Reporter& reporter);

}  // namespace engraft::finetune
