#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "base/report.h"
#include "finetune/setup.h"
#include "io/json.h"
#include "store/run_folder.h"

namespace engraft::finetune {

/// The head's inputs, computed once.
struct Features {
  at::Tensor train;  // [train rows, D] float32, on the device
  at::Tensor val;    // [validation rows, D]
};

/// What a stage leaves behind, beside its weights in the setup's body and head.
struct StageOutcome {
  /// Its object in result.json's "stages".
  io::Json record;
  /// The same for a person, some lines.
  std::string summary;
  /// "stage 2, epoch 5": what the weights are those of.
  std::string selected;
};

/// Trains the head alone. Writes an epoch's metrics to `folder` as it ends. The head is left at its best epoch, or, as
/// the run's last stage with --select last, at its last. Throws as train::fit, and Error with ExitCode::kInternal when
/// something frozen moved.
StageOutcome train_head(Setup& setup, const Features& features, store::RunFolder& folder, Reporter& reporter);

/// Trains what `stage` unfreezes, and the head, from where they are, with the trunk on the fly. The rest as
/// train_head; throws also DataError for a picture that cannot be read any more, ModelError where trunk or top fail.
StageOutcome train_stage(Setup& setup, const StagePlan& stage, store::RunFolder& folder, Reporter& reporter);

}  // namespace engraft::finetune
