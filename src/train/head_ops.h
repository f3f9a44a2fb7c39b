#pragma once

#include <ATen/core/Tensor.h>

namespace engraft::train {

/// What stands between two fully connected layers, or behind the last.
enum class HeadOp { kRelu, kGelu, kSilu, kTanh, kDropout };

/// Of any shape; dropout, which is a product with what was drawn, gives `x`.
at::Tensor activated(const at::Tensor& x, HeadOp op);

/// By `x`, of what activated() made `y` of it, from that by `y`.
at::Tensor activation_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y, HeadOp op);

}  // namespace engraft::train
