#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::model {

/// True when `path` asks for a network from scratch, "new:NAME", and not for a file.
bool is_new_network(const std::string& path);

/// The names that new_network() knows, without the prefix.
std::vector<std::string> new_network_names();

/// An untrained network as the bytes of a TorchScript archive with engraft.json inside, in eval mode. `name` is one of
/// new_network_names(), with or without "new:". Weights are float32, drawn from a RandomStream of `seed`: the same
/// bytes on every machine and in every process.
/// - cnn3: blocks conv_1, conv_2, conv_3, each a 3x3 convolution (16, 32, 64 filters, no padding, bias), ReLU and
///   max-pool 2; convolutions Glorot uniform (Glorot and Bengio 2010), biases 0. 150 px, squashed, pixels 0 to 1.
///   [B, 3, 150, 150] -> [B, 64, 17, 17]
/// - inception-mini: blocks stem, mixed_1 … mixed_7; each convolution without bias and followed by batch norm (eps
/// 1e-3,
///   momentum 0.1) and ReLU; convolutions normal with variance 2 / fan_out (He et al. 2015), norms 1 and 0. 128 px,
///   ImageNet's mean and std; 64 px and up. [B, 3, 128, 128] -> [B, 960, 8, 8]
/// Throws UsageError for another name.
std::string new_network(const std::string& name, uint64_t seed);

}  // namespace engraft::model
