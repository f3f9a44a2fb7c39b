#pragma once

#include <string>
#include <vector>

#include "tensor/named.h"
#include "tensor/outer_gradient.h"

namespace engraft::train {

/// What one update did to a parameter.
struct UpdateSize {
  std::string name;
  double ratio = 0;  // L2 of the change over L2 of the weights before it; 0 for weights of 0
  double still = 0;  // share of the elements with a gradient other than 0 that kept their value; 0 without such
};

/// What has moved `parameters`, whose gradients are still there, from `before`, a snapshot of them. `outer_gradients`:
/// for each parameter, where its gradient may be instead of in grad(); empty: nowhere. An element of such a gradient
/// counts as other than 0 where both its factors are in some row of the batch.
std::vector<UpdateSize> update_sizes(const std::vector<tensor::NamedTensor>& before,
                                     const std::vector<tensor::NamedTensor>& parameters,
                                     std::vector<tensor::OuterGradient*> outer_gradients = {});

}  // namespace engraft::train
