#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace engraft::engine {

/// Hands each convolution with constant float32 weights in the graph's outermost block to oneDNN, its weights packed
/// once as oneDNN's kernel for that shape wants them, with the relu or relu6 behind it where nothing else reads it.
/// `graph` takes x [B, 3, S, S] of `sizes`. It is run once on one picture of zeros, for the
/// convolutions' sizes, and throws what that throws. Returns how many were packed: none where LibTorch has no oneDNN.
int pack_convolutions(const std::shared_ptr<torch::jit::Graph>& graph, const std::vector<int64_t>& sizes);

}  // namespace engraft::engine
