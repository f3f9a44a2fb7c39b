#pragma once

#include <optional>
#include <string>

#include "base/report.h"
#include "finetune/setup.h"
#include "io/json.h"
#include "store/activation_rows.h"
#include "store/run_folder.h"

namespace engraft::finetune {

/// What a stage leaves behind, beside its weights in the setup's body and head.
struct StageOutcome {
  /// Its object in result.json's "stages".
  io::Json record;
  /// The same for a person, some lines.
  std::string summary;
  /// "stage 2, epoch 5": what the weights are those of.
  std::string selected;
};

/// Trains the head alone on `features` [train + validation rows, D]. Writes an epoch's metrics to `folder` as it ends.
/// The head is left at its best epoch, or, as the run's last stage with --select last, at its last. Throws as
/// train::fit, and Error with ExitCode::kInternal when something frozen moved.
StageOutcome train_head(Setup& setup, const store::ActivationRows& features, store::RunFolder& folder,
                        Reporter& reporter);

/// Trains what `stage` unfreezes, and the head, from where they are, on `activations` at its cut (training rows, then
/// validation rows), or, without them, with the trunk on the fly; both give the same bits. The rest as
/// train_head; throws also DataError for a picture that cannot be read any more, ModelError where trunk or top fail.
StageOutcome train_stage(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                         store::RunFolder& folder, Reporter& reporter);

}  // namespace engraft::finetune
