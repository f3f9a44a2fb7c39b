#include "engine/normalise.h"

#include <ATen/ATen.h>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::engine {

Normaliser::Normaliser(const image::Preprocessing& p, const c10::Device& device) : is_bgr_(p.channels == "bgr") {
  const auto row = [&](const std::array<double, 3>& rgb) {
    return at::tensor({static_cast<float>(rgb[is_bgr_ ? 2 : 0]), static_cast<float>(rgb[1]),
                       static_cast<float>(rgb[is_bgr_ ? 0 : 2])})
        .to(device)
        .view({1, 3, 1, 1});
  };
  mean_ = row(p.mean);
  std_ = row(p.std);
}

at::Tensor Normaliser::operator()(const at::Tensor& pixels) const {
  if (pixels.dim() != 4 || pixels.size(3) != 3 || pixels.scalar_type() != at::kByte) {
    throw ModelError(text::cat("pixels must be uint8 [B, H, W, 3], found ", pixels.scalar_type(), " ",
                               text::shape(pixels.sizes().vec())));
  }
  at::Tensor x = pixels.to(mean_.device()).permute({0, 3, 1, 2});  // [B, 3, H, W], channels_last as it lies
  if (is_bgr_) x = x.flip({1});
  x = x.to(at::kFloat).div_(255.0);
  return x.sub_(mean_).div_(std_).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace engraft::engine
