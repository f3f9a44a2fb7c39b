#pragma once

#include <torch/csrc/jit/api/module.h>

#include <functional>
#include <string>
#include <vector>

namespace engraft::test {

/// A TorchScript module of class `type` with a `training` attribute and the given methods.
torch::jit::Module make_module(const std::string& type, const std::string& methods = "");

/// 3x3 convolution, padding 1, seeded weights [out, in, 3, 3] and bias.
torch::jit::Module make_conv(int64_t in, int64_t out, uint64_t seed);
/// relu_ in place.
torch::jit::Module make_relu();
/// Batch norm over `channels`, learned weight and bias, running statistics as buffers.
torch::jit::Module make_norm(int64_t channels);
torch::jit::Module make_dropout(double p);
/// Mean over H and W, then [in] -> [out].
torch::jit::Module make_linear(int64_t in, int64_t out, uint64_t seed);
/// forward hands x through the children "0", "1" …
torch::jit::Module make_chain(const std::string& type, const std::vector<torch::jit::Module>& children);

/// The whole tiny networks of these tests; input float32 [B,3,8,8].
/// chain     conv1, relu (in place), conv2, features: Sequential(conv, relu), fc
/// residual  stem, body1 + its input, body2 + its input, fc
/// twice     stem, same, same, fc
/// loop      stem, three times same in a for, fc
/// branchy   stem, a or b by the sign of the sum, fc
/// tuple     stem, pair (returns two tensors), fc
/// modes     stem, norm, dropout, fc
/// aux       stem, body, aux (only in training and if aux_on), fc; through a helper method `_forward`
/// wrapper   model: chain
torch::jit::Module make_net(const std::string& name);

/// Seeded normal input [batch, 3, 8, 8].
at::Tensor input_of(int64_t batch, uint64_t seed = 1);

/// The module's archive, as bytes.
std::string bytes_of(const torch::jit::Module& module);
torch::jit::Module from_bytes(const std::string& bytes);

/// Equal shape, type and bits.
bool same(const at::Tensor& a, const at::Tensor& b);

}  // namespace engraft::test
