#include "tensor/outer_gradient.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace engraft::tensor {

void OuterGradient::put(const at::Tensor& of_outputs, const at::Tensor& inputs) {
  if (!is_empty()) throw std::logic_error("an outer gradient holds one batch's");
  of_outputs_ = of_outputs.detach();
  inputs_ = inputs.detach();
}

void OuterGradient::clear() { of_outputs_ = inputs_ = at::Tensor(); }

at::Tensor OuterGradient::dense() const {
  const c10::NoGradGuard no_grad;
  return at::mm(of_outputs_.t(), inputs_);
}

double OuterGradient::length() const {
  const c10::NoGradGuard no_grad;
  const at::Tensor g = of_outputs_.to(at::kDouble), x = inputs_.to(at::kDouble);
  return std::sqrt(std::max(0.0, (at::mm(g, g.t()) * at::mm(x, x.t())).sum().item<double>()));
}

void OuterGradient::scale(double factor) {
  const c10::NoGradGuard no_grad;
  of_outputs_ = of_outputs_ * factor;
}

}  // namespace engraft::tensor
