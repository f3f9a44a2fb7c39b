#pragma once

#include <memory>

namespace ov {
class Model;
}

namespace engraft::engine {

/// Computes what torch.nn.functional.local_response_norm writes out, x / (k + alpha * mean over `size` channels of
/// x²)^beta, by a convolution of 1 x 1 over x² instead of padding and a 3-D average pool, and a power of three quarters
/// by roots: as written, its two norms make GoogLeNet take 1.6 times as long in bf16. Of [N, C, H, W] with static shapes
/// and an odd `size`; anything else is left as it is. Folds the model's constants.
void shorten_response_norms(const std::shared_ptr<ov::Model>& model);

}  // namespace engraft::engine
