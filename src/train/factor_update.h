#pragma once

#include <ATen/core/Tensor.h>

#include "tensor/outer_gradient.h"

namespace engraft::train {

/// How sgd moves a weight.
struct SgdStep {
  double rate = 0;
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;
};

/// Whether this CPU has what sgd_by_factors() needs: AVX2 and FMA.
bool has_factor_update();

/// Moves `weights` [out, D] and `buffer` (of its shape; undefined without momentum), both float32, contiguous and on
/// the CPU, as at::_fused_sgd_ does by the dense gradient: it is multiplied out in registers, a few elements at a time,
/// so weights and buffer pass through memory once and the gradient never does. Every element is the same sum in the
/// same order on any number of threads. Only where has_factor_update().
void sgd_by_factors(const at::Tensor& weights, const at::Tensor& buffer, const tensor::OuterGradient& gradient,
                    const SgdStep& step);

}  // namespace engraft::train
