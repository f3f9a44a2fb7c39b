#pragma once

#include <string>

#include "base/target.h"
#include "finetune/stage_plan.h"
#include "io/json.h"
#include "train/fit.h"

namespace engraft::finetune {

/// A line of metrics.jsonl.
io::Json metrics_json(const StagePlan& stage, const train::EpochRecord& epoch, Target target);

/// A line of timings.jsonl.
io::Json timing_json(const StagePlan& stage, const train::EpochRecord& epoch);

/// An epoch as result.json has a stage's "best" and "last".
io::Json epoch_json(const train::EpochRecord& epoch);

}  // namespace engraft::finetune
