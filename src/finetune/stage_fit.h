#pragma once

#include <string>
#include <vector>

#include "finetune/setup.h"
#include "io/json.h"
#include "train/fit.h"

namespace engraft::finetune {

/// Whether the run ends with the last epoch of `stage`, rather than the best: the last stage with --select last.
bool takes_last(const Setup& setup, const StagePlan& stage);

/// What fit is asked for in a stage. Throws UsageError for class weights that name no class, and for what makes no
/// sense with the target: class weights, balance and smoothing in regression, balance where several labels may hold.
train::FitOptions fit_options(const Setup& setup, const StagePlan& stage);

/// For each of the stage's learning blocks, what the rate is multiplied by: backbone_scale · layer_decay^k, k = 1 for
/// the topmost block with parameters, 2 for the next below. Empty where all are 1.
std::vector<double> block_scales(const Setup& setup, const StagePlan& stage);

/// Reads "balanced" (N / (K · rows of the class), as scikit-learn has it), "none", or "ants:1+bees:2.5", 1 for classes
/// that are not named. Empty for "none". Throws UsageError naming the part that is wrong.
std::vector<double> class_weights(const std::string& text, const std::vector<std::string>& classes,
                                  const std::vector<int64_t>& labels);

/// The same where several labels may hold, as multi-label loss takes them; balanced: rows without the class / rows with
/// it, 1 where there are none of either. `labels`: of each row.
std::vector<double> label_weights(const std::string& text, const std::vector<std::string>& classes,
                                  const std::vector<std::vector<int64_t>>& labels);

/// How far updates moved each block, of the epoch in which they moved it most: the mean over its parameters.
struct BlockUpdate {
  std::string block;  // "head" for the head
  double ratio = 0;   // change over weight
  double still = 0;   // share of weights with a gradient that kept their value
};
std::vector<BlockUpdate> block_updates(const std::vector<train::EpochRecord>& epochs, const StagePlan& stage);

/// Warns of blocks most of whose weights are too large for their updates in float32.
void warn_of_still_blocks(const std::vector<BlockUpdate>& updates, const StagePlan& stage, Reporter& reporter);

/// {block: {"ratio", "still"}}.
io::Json to_json(const std::vector<BlockUpdate>& updates);

}  // namespace engraft::finetune
