#pragma once

#include "io/json.h"
#include "train/fit.h"

namespace engraft::finetune {

/// Where a stage stands, without its tensors, as a checkpoint's state has it.
io::Json to_json(const train::Progress& progress);

/// What to_json() gave. Throws nlohmann::json::exception for a value that is missing or of another kind; whether it
/// fits a training is fit()'s to say.
train::Progress progress_of(const io::Json& json);

}  // namespace engraft::finetune
