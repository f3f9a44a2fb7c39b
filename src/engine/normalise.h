#pragma once

#include <ATen/core/Tensor.h>

#include "image/preprocessing.h"

namespace engraft::engine {

/// Makes of pictures what a network takes. Its numbers lie on the device from the beginning.
class Normaliser {
 public:
  Normaliser(const image::Preprocessing& preprocessing, const c10::Device& device);

  /// Maps `pixels` uint8 [B, H, W, 3] RGB to float32 [B, 3, H, W] on the device, channels_last in memory, (pixel / 255
  /// - mean) / std in this order of operations, which on the CPU is torchvision's ToTensor and Normalize bit for bit.
  /// With channels "bgr" the channels are swapped, and mean and std with them (they are given in RGB order). Throws
  /// ModelError for pixels of another shape or type.
  at::Tensor operator()(const at::Tensor& pixels) const;

 private:
  bool is_bgr_;
  at::Tensor mean_, std_;  // [1, 3, 1, 1], in the order of the channels
};

}  // namespace engraft::engine
