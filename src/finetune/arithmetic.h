#pragma once

#include "base/report.h"
#include "finetune/setup.h"

namespace engraft::finetune {

/// Chooses in which precision a training's backbone computes, and by which engine its frozen part, as the options ask,
/// on its training pictures: the setup's `precision`, `engine` and `engine_options`. int8 is for a head on features
/// alone: what stages learn on top of is computed as they compute, and in the same pass. Throws as choose_precision and
/// choose_engine.
void choose_arithmetic(Setup& setup, Reporter& reporter);

}  // namespace engraft::finetune
