#pragma once

#include <string>

#include "base/report.h"
#include "finetune/resume.h"
#include "finetune/stage_parts.h"

namespace engraft::finetune {

struct Verification {
  const StageCheckpointer& checkpointer;
  /// Where the stage goes on; null where it begins.
  const train::FitStart* start = nullptr;
  /// Updates to replay.
  int64_t steps = 0;
  /// For a checkpoint on disk; made and removed.
  std::string folder;
};

/// Trains `steps` updates from `start` in one go, then once more with a checkpoint written, read back and gone on from
/// in the middle, and holds the two ends against each other, weights, optimiser and figures. Leaves the trainee as it
/// was. Throws Error with ExitCode::kInternal naming what differs, UsageError where the stage has fewer updates,
/// Stopped.
void verify_resume(const Setup& setup, const StagePlan& stage, StageParts& parts, const Verification& verification,
                   Reporter& reporter);

}  // namespace engraft::finetune
