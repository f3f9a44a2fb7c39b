#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace engraft::tensor {

/// A tensor with its dotted path in the module it belongs to.
struct NamedTensor {
  std::string name;
  at::Tensor value;
};

/// xxh3-128 over names, dtypes, shapes and bytes (in logical order, whatever the memory format), on any device.
std::string digest(const std::vector<NamedTensor>& tensors);

/// Detached copies on the same device.
std::vector<NamedTensor> snapshot(const std::vector<NamedTensor>& tensors);

/// Copies values into tensors of the same names and shapes, in place and without a gradient.
/// Throws ModelError naming the first that is missing or of another shape.
void restore(const std::vector<NamedTensor>& from, const std::vector<NamedTensor>& into);

/// max |a - b| / max |b| over all elements; 0 where both are 0. Shapes must be equal (ModelError).
double relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace engraft::tensor
