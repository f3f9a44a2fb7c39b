#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "finetune/setup.h"
#include "store/activation_rows.h"
#include "train/fit.h"

namespace engraft::finetune {

/// What a stage trains, and on what; holds references into the setup.
struct StageParts {
  std::unique_ptr<engine::Engine> engine;  // of the trunk, where it runs on the fly
  std::unique_ptr<train::BatchSource> train, val;
  std::unique_ptr<train::Trainee> trainee;
  /// After training, the frozen blocks whose norms stood in train mode during it.
  std::function<std::vector<std::string>()> seen_in_train_mode;
};

/// The head alone on `features` [training rows · views + validation rows, D].
StageParts head_parts(Setup& setup, const store::ActivationRows& features);

/// What `stage` unfreezes, and the head, on `activations` at its cut (rows as FrozenPart has them), or, without them,
/// with the trunk on the fly; both give the same bits. Tells `reporter` what is unfrozen.
StageParts top_parts(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                     Reporter& reporter);

/// Measures the statistics of the learning blocks' norms on the training pictures, where the stage wants that; to be
/// called where the stage begins, and not where it goes on.
void recalibrate_norms(Setup& setup, const StagePlan& stage, StageParts& parts);

}  // namespace engraft::finetune
