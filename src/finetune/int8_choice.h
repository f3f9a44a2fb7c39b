#pragma once

#include <optional>
#include <string>

#include "finetune/precision.h"

namespace engraft::finetune {

/// Without labels int8 is used where the cosines between its rows and float32's are at least these.
constexpr double kLeastMeanCosine = 0.999, kLeastEachCosine = 0.99;
/// With labels, where a probe on its rows tells at most so much less of the pictures, or one picture less; and where
/// the mean cosine says that it is the same network still.
constexpr double kMostProbeLoss = 0.003, kLeastProbedCosine = 0.9;
/// A probe that does not tell so many standard deviations more than the most frequent class alone would judges nothing.
constexpr double kLeastAboveChance = 2;

/// int8 as OpenVINO runs it, if it does for the trial's network and pictures; else why not, in `int8_refusal`, and
/// float32. Calibrated on some of the items and judged by others (split_for_int8): each picture's row in both
/// precisions, in the form of `trial.pool`, by the cosine between them; where the listing has labels, by how many of
/// the pictures ridge regression (train/ridge.h) on the other half of each class tells, on rows pooled to averages. Of
/// several outputs the worst counts. With some hundreds of pictures this notices a loss of a percent or two; one
/// picture by chance is allowed. Calibration and verdict are kept for the next run with the same network, pictures and
/// machine (store::Remembered, "int8"). Throws UsageError for a device that is no CPU, and as forward_pass.
PrecisionChoice choose_int8(const PrecisionTrial& trial, Reporter& reporter);

/// `other`, chosen since `int8` does not do: with its verdict, and why.
PrecisionChoice instead_of(const PrecisionChoice& int8, PrecisionChoice other);

/// What choose_int8 found, and nothing of what is used instead: {"method", "verdict", "calibration"}, or "refusal"
/// instead of the last.
io::Json finding_json(const PrecisionChoice& choice);
/// The reverse; none for anything else, and for what another method found.
std::optional<PrecisionChoice> choice_from_finding(const io::Json& finding);

io::Json to_json(const Int8Verdict& verdict);

/// "on 512 pictures cosine to f32 0.99931, least 0.99795; a probe tells 500 of 512, on f32 501".
std::string verdict_text(const Int8Verdict& verdict);

}  // namespace engraft::finetune
