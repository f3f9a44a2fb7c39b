#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "finetune/mixing.h"
#include "finetune/train_options.h"
#include "io/json.h"
#include "model/freeze.h"

namespace engraft::finetune {

/// One stage with everything resolved.
struct StagePlan {
  /// 1 is the head stage (also when it is skipped); the first --stage is 2.
  int64_t number = 1;
  std::string unfreeze = "none";
  int64_t epochs = 0;
  OptimizerOptions optimizer;
  MixOptions mix;
  model::FreezePlan freeze;
  /// The freeze boundary; empty where the first block learns and nothing runs frozen below.
  std::string cut;
  /// Why the cut is lower than the last frozen block; empty when it is not.
  std::string cut_note;

  /// The head alone learns, on features computed once.
  bool is_on_features() const { return number == 1 && freeze.learning.empty(); }
};

/// The head stage and every --stage of `options`, for `body`, a backbone up to `tap`. With `is_new`, a network without
/// training, the first stage trains all of it instead, and norms move.
/// A stage inherits what it does not give from the head stage, its rate a tenth of the head's.
/// Throws UsageError for a malformed stage and one whose blocks have nothing to learn, ModelError for an unknown block.
std::vector<StagePlan> plan_stages(const TrainOptions& options, const torch::jit::Module& body, const std::string& tap,
                                   bool is_new = false);

/// Of names separated by '|', the first that is one of `blocks` or has them inside; the first of all where none is.
std::string first_known(const std::string& alternatives, const std::vector<std::string>& blocks);

/// The stage as a record: names, numbers, blocks.
io::Json to_json(const StagePlan& stage);

}  // namespace engraft::finetune
