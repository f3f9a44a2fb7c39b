#pragma once

#include <ATen/core/Tensor.h>

#include "image/preprocessing.h"

namespace engraft::engine {

/// normalise() with its numbers on the device already.
class Normaliser {
 public:
  Normaliser(const image::Preprocessing& preprocessing, const c10::Device& device);
  at::Tensor operator()(const at::Tensor& pixels) const;

 private:
  bool is_bgr_;
  at::Tensor mean_, std_;  // [1, 3, 1, 1], in the order of the channels
};

/// Maps `pixels` uint8 [B, H, W, 3] RGB to what a network takes: float32 [B, 3, H, W] on `device`, channels_last in
/// memory, (pixel / 255 - mean) / std in this order of operations, which on the CPU is torchvision's ToTensor and
/// Normalize bit for bit. With channels "bgr" the channels are swapped, and mean and std with them (they are given in
/// RGB order).
at::Tensor normalise(const at::Tensor& pixels, const image::Preprocessing& preprocessing, const c10::Device& device);

}  // namespace engraft::engine
