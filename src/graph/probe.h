#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "graph/anatomy.h"

namespace engraft::graph {

/// What one block did with one batch.
struct BlockProbe {
  std::string name;
  /// Shapes of its tensor inputs.
  std::vector<std::vector<int64_t>> input_shapes;
  /// Shape of its output, empty where it is not one tensor.
  std::vector<int64_t> output_shape;
  /// "[1, 768, 17, 17]", "tuple", or "not run" for a block inside control flow.
  std::string output;
  int64_t output_bytes = 0;
  /// Numbers in its parameters (learned) and in its other tensors, all depths.
  int64_t parameters = 0;
  int64_t buffers = 0;
  /// 2 x the multiply-adds of its convolutions, linear layers, matrix products and attention, for the whole batch.
  int64_t flops = 0;
};

/// Runs `anatomy`'s network once on `x`, and each block once more on what it was given, in eval mode without
/// gradients; modes and buffers are as before afterwards. One entry a block, in the order of anatomy.blocks().
/// Work of operators between blocks is counted to no block.
/// Throws ModelError with LibTorch's first line when the network does not take `x`.
std::vector<BlockProbe> probe(const torch::jit::Module& module, const Anatomy& anatomy, const at::Tensor& x);

/// Runs forward on `one` (batch 1) and on a batch of three. Returns "" when row 0 of the batch gives what it gives
/// alone (1e-3 of the largest value), else one line that says what is wrong: a trace with a fixed batch size fails
/// here. In eval mode, without gradients; modes and buffers are as before afterwards.
/// Throws UsageError when `one` is not a batch of 1, ModelError when batch 1 fails already.
std::string check_batch(const torch::jit::Module& module, const at::Tensor& one);

}  // namespace engraft::graph
