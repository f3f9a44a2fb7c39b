#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/target.h"
#include "finetune/precision.h"

namespace engraft::finetune {

/// Of the pictures that a model.pt decides on, so many may be decided otherwise in int8, or one; and of those with a
/// label so many fewer may be right, or one.
constexpr double kMostOtherDecisions = 0.01, kMostFewerRight = 0.003;
/// Numbers of a regression that are further apart than this share of the labels' deviation are two decisions.
constexpr double kSameNumber = 0.02;

/// What a model decides by its outputs [N, outputs_of(target, K)] in either precision: the class of the highest logit,
/// the sign of each, or a number in units of which `scale` says the deviation. `labels`: N of them, negative where
/// there is none; of softmax and sigmoid alone.
Int8Verdict::Decisions decide_both(const at::Tensor& f32, const at::Tensor& int8, const std::vector<int64_t>& labels,
                                   Target target, const TargetScale& scale);

/// Why int8 does not do by these; empty where it does.
std::string objection(const Int8Verdict::Decisions& decisions);

/// "decides 1 of 192 otherwise; right are 185 of 192, in f32 185"
std::string decisions_text(const Int8Verdict::Decisions& decisions);

}  // namespace engraft::finetune
