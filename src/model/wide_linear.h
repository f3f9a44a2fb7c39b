#pragma once

#include <ATen/core/Tensor.h>

namespace engraft::model {

/// x [B, D] times weight [out, D] transposed, plus bias [out]: [B, out], with gradients for all three. at::linear but
/// for the order of additions: layers of more than a million weights go another, faster way
/// on the CPU where gradients are recorded.
at::Tensor wide_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace engraft::model
