#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace engraft::train {

/// The classes that ridge regression gives `others` [M, D] after `rows` [N, D] with `labels` (N, from 0): one
/// regression a class to +1 and -1 with an intercept, the class with the largest value. The penalty is the one of
/// eleven, 1e-6 to 1e4 times the mean variance that lies in a direction of the rows, whose squared leave-one-out errors
/// are least; these follow from one decomposition (Allen's PRESS, as scikit-learn's RidgeClassifierCV has it). Computed
/// in float64 by the Gram matrix [N, N], so that D may be large. Throws std::invalid_argument without rows, or with
/// labels that are not as many.
std::vector<int64_t> ridge_classes(const at::Tensor& rows, const std::vector<int64_t>& labels,
                                   const at::Tensor& others);

}  // namespace engraft::train
