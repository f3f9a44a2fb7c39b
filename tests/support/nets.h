#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>

namespace engraft::test {

/// A small network with all that training meets: blocks stem (convolution, batch norm, relu), mixed_1 (two branches),
/// mixed_2 (convolution, batch norm, dropout 0.2), then average pool and a classifier of 7 logits, which extraction
/// drops. Weights are drawn from `seed`; the norms have statistics of their own. 16 px and up.
torch::jit::Module small_net(uint64_t seed = 1);

/// Saves it with an engraft.json of `size_px`, mean and std 0.5, and returns the path.
std::string save_small_net(const std::string& folder, int size_px = 32, uint64_t seed = 1);

}  // namespace engraft::test
