#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace engraft::engine {

/// A two-dimensional convolution of a graph whose weights are float32 constants on the CPU.
struct ConstantConvolution {
  torch::jit::Node* node = nullptr;  // inputs 0, 1 and 2 are its input, weight and bias
  at::Tensor weight;                 // [out, in / groups, kernel, kernel]
  at::Tensor bias;                   // [out], or undefined
  std::vector<int64_t> stride, padding, dilation;
  int64_t groups = 1;
};

/// What `node` is: aten::conv2d, aten::convolution or aten::_convolution, not transposed, with numbers for padding;
/// else empty. That nothing writes to the constants is for the caller to know.
std::optional<ConstantConvolution> constant_convolution(torch::jit::Node* node);

/// The nodes that read `value` for more than its shape.
std::vector<torch::jit::Node*> readers_of_numbers(const torch::jit::Value* value);

/// The float32 CPU tensor that `value` is throughout; undefined for None; empty for all else.
std::optional<at::Tensor> constant_floats(torch::jit::Value* value);

}  // namespace engraft::engine
