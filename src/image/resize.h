#pragma once

#include <cstdint>
#include <string>

#include "image/picture.h"
#include "image/transform.h"

namespace engraft::image {

enum class Interpolation { kBilinear, kBicubic };

/// "bilinear" or "bicubic"; throws UsageError naming the word otherwise.
Interpolation interpolation_of(const std::string& name);

/// The picture in another size, with the bits of Pillow's `Image.resize((width_px, height_px), BILINEAR or BICUBIC)`:
/// antialiased (the filter's support grows with the reduction), one pass along each axis, each rounded to 8 bits,
/// weights in 22-bit fixed point. Source: Pillow's src/libImaging/Resample.c; the order of the passes is that of Pillow
/// 13 (Note [Which pass comes first] in filter.cpp). Sides must be above 0. Thread-safe.
Picture resize(const Picture& picture, int width_px, int height_px, Interpolation interpolation);

/// The window of `resize(picture, plan.resized_width_px, plan.resized_height_px)` that `plan` crops, into
/// out [plan.height_px, plan.width_px, 3]; the same bits, for the cost of the window.
void resize_crop_into(const Picture& picture, const CropPlan& plan, Interpolation interpolation, uint8_t* out);

}  // namespace engraft::image
