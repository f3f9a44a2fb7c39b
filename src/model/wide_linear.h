#pragma once

#include <ATen/core/Tensor.h>

namespace engraft::model {

/// x [B, D] times weight [out, D] transposed, plus bias [out]: [B, out], with gradients for all three. The same values
/// as at::linear; on the CPU the gradient of a wide x is computed in the order that reads the weights fastest.
at::Tensor wide_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace engraft::model
