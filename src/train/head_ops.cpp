#include "train/head_ops.h"

#include <ATen/ATen.h>

namespace engraft::train {

at::Tensor activated(const at::Tensor& x, HeadOp op) {
  switch (op) {
    case HeadOp::kRelu:
      return at::relu(x);
    case HeadOp::kGelu:
      return at::gelu(x);
    case HeadOp::kSilu:
      return at::silu(x);
    case HeadOp::kTanh:
      return at::tanh(x);
    case HeadOp::kDropout:
      break;
  }
  return x;
}

at::Tensor activation_gradient(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& y, HeadOp op) {
  switch (op) {
    case HeadOp::kRelu:
      return at::threshold_backward(gradient, y, 0);
    case HeadOp::kGelu:
      return at::gelu_backward(gradient, x);
    case HeadOp::kSilu:
      return at::silu_backward(gradient, x);
    case HeadOp::kTanh:
      return at::tanh_backward(gradient, y);
    case HeadOp::kDropout:
      break;
  }
  return gradient;
}

}  // namespace engraft::train
