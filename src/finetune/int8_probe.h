#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "finetune/precision.h"

namespace engraft::finetune {

/// What ridge regression (train/ridge.h) tells of pictures by rows [N, D] of either precision, each row by the rows of
/// the other half of its class. `labels`: N of them, negative where there is none; none where those that there are
/// name one class.
std::optional<Int8Verdict::Probe> probe_both(const at::Tensor& f32, const at::Tensor& int8,
                                             const std::vector<int64_t>& labels);

/// Whether float32's rows tell the classes better than naming the most frequent one would by chance, by
/// kLeastAboveChance standard deviations.
bool is_above_chance(const Int8Verdict::Probe& probe);

}  // namespace engraft::finetune
