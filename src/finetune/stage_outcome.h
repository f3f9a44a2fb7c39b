#pragma once

#include <string>

#include "io/json.h"

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

}  // namespace engraft::finetune
