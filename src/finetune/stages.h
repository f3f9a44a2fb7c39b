#pragma once

#include <optional>
#include <string>

#include "base/report.h"
#include "finetune/resume.h"
#include "finetune/setup.h"
#include "store/activation_rows.h"
#include "store/run_folder.h"
#include "train/rate_range.h"

namespace engraft::finetune {

/// Where a stage stands in its run.
struct StageContext {
  store::RunFolder& folder;
  Reporter& reporter;
  /// Outcomes of the stages before, and their steps together.
  const std::vector<StageOutcome>& done;
  int64_t steps_before = 0;
  /// The first that this process trains.
  bool is_first = false;
  /// Where this stage goes on; null where it begins.
  const Resumption* resumption = nullptr;
};

/// Trains the head alone on `features` [train + validation rows, D]. Writes an epoch's metrics as it ends, and
/// checkpoints.
/// The head is left at its best epoch, or, as the run's last stage with --select last, at its last. Throws as
/// train::fit, and Error with ExitCode::kInternal when something frozen moved.
StageOutcome train_head(Setup& setup, const store::ActivationRows& features, const StageContext& context);

/// Trains what `stage` unfreezes, and the head, from where they are, on `activations` at its cut (training rows, then
/// validation rows), or, without them, with the trunk on the fly; both give the same bits. The rest as
/// train_head; throws also DataError for a picture that cannot be read any more, ModelError where trunk or top fail.
StageOutcome train_stage(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                         const StageContext& context);

/// Tries rising rates on the stage, which is left as it was; `rows`: the head's features, or the activations at the
/// stage's cut as train_stage has them. Throws as train::range_test.
train::RateRange find_rate(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& rows,
                           Reporter& reporter);

}  // namespace engraft::finetune
