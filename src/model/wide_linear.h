#pragma once

#include <ATen/core/Tensor.h>

#include "tensor/outer_gradient.h"

namespace engraft::model {

/// x [B, D] times weight [out, D] transposed, plus bias [out]: [B, out], with gradients for all three. at::linear but
/// for the order of additions: layers of more than a million weights go another, faster way on the CPU where gradients
/// are recorded. Such a layer leaves its weight's gradient in `outer` where that is wanted; `outer` is to live until
/// the backward pass is over.
at::Tensor wide_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       tensor::OuterGradient* outer = nullptr);

}  // namespace engraft::model
