#pragma once

#include "finetune/precision.h"

namespace engraft::finetune {

/// Without labels int8 is used where the cosines between its rows and float32's are at least these.
constexpr double kLeastMeanCosine = 0.999, kLeastEachCosine = 0.99;
/// With labels, where a probe on its rows tells at most so much less of the pictures, or one picture less.
constexpr double kMostProbeLoss = 0.003;

/// int8 as OpenVINO runs it, if it does for the trial's network and pictures; else why not, in `fallback`, and float32.
/// Calibrated on some of the rows and judged by others (split_for_int8): each picture's row in both precisions, in the
/// form of `trial.pool`, by the cosine between them; where the listing has labels, by how many of the pictures ridge
/// regression (train/ridge.h) on the other half of them tells, paired, on rows pooled to averages; of several outputs
/// the worst counts. Calibration and verdict are kept for the next run with the same network, pictures and machine
/// (store::Remembered, "int8"). Throws UsageError for a device that is no CPU, and as forward_pass.
PrecisionChoice choose_int8(const PrecisionTrial& trial, Reporter& reporter);

/// int8 by a calibration that was judged before, when a store was begun.
PrecisionChoice int8_as_begun(std::shared_ptr<const engine::Calibration> calibration);

/// "on 512 pictures cosine to f32 0.99931, least 0.99795; a probe tells 500, on f32 501".
std::string verdict_text(const Int8Verdict& verdict);

}  // namespace engraft::finetune
