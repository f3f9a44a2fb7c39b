#include "engine/normalise.h"

#include <ATen/ATen.h>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::engine {

at::Tensor normalise(const at::Tensor& pixels, const image::Preprocessing& p, const c10::Device& device) {
  if (pixels.dim() != 4 || pixels.size(3) != 3 || pixels.scalar_type() != at::kByte) {
    throw ModelError(text::cat("pixels must be uint8 [B, H, W, 3], found ", pixels.scalar_type(), " ",
                               text::shape(pixels.sizes().vec())));
  }
  const auto row = [&](const std::array<double, 3>& rgb) {
    const bool swap = p.channels == "bgr";
    return at::tensor({static_cast<float>(rgb[swap ? 2 : 0]), static_cast<float>(rgb[1]),
                       static_cast<float>(rgb[swap ? 0 : 2])})
        .to(device)
        .view({1, 3, 1, 1});
  };
  at::Tensor x = pixels.to(device).permute({0, 3, 1, 2});  // [B, 3, H, W], channels_last as it lies
  if (p.channels == "bgr") x = x.flip({1});
  x = x.to(at::kFloat).div_(255.0);
  return x.sub_(row(p.mean)).div_(row(p.std)).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace engraft::engine
