#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tensor/precision.h"

namespace torch::jit {
struct Code;
}

namespace engraft::engine {

/// A method of a module as it is now, made faster for one shape on the CPU: batch norms folded into convolutions, the
/// convolutions packed for oneDNN with their relu. It has weights of its own where they were folded or packed, and
/// shares the rest with the module, which is not edited; what changes in the module later is not seen, or in part.
///
/// Every run computes in the same order. Rows do not depend on each other, and an output is bit-equal to what it is
/// among other outputs of other methods of the same module at the same `sizes`. One thread at a time.
class FoldedNetwork {
 public:
  /// For x of `sizes` [B, 3, S, S]. Null where frozen_graph() refuses the method, as for norms in training mode and
  /// for weights that are written to; where a weight is infinite or NaN (oneDNN's relu of NaN is 0 and would hide it),
  /// and where LibTorch fails at any step. In bf16
  /// norms are folded and the convolutions' weights rounded once; nothing is packed, and it is to be run under
  /// autocast.
  static std::unique_ptr<FoldedNetwork> make(const torch::jit::Module& module, const std::string& method,
                                             const std::vector<int64_t>& sizes, tensor::Precision precision);

  /// What the method gives for `x` [B, 3, S, S] float32, channels_last; a tuple's items each.
  std::vector<at::Tensor> run(const at::Tensor& x) const;

 private:
  explicit FoldedNetwork(const std::shared_ptr<torch::jit::Graph>& graph);

  std::shared_ptr<const torch::jit::Code> code_;
};

}  // namespace engraft::engine
