#include "image/resize.h"

#include "base/errors.h"
#include "image/filter.h"

namespace engraft::image {

Interpolation interpolation_of(const std::string& name) {
  if (name == "bilinear") return Interpolation::kBilinear;
  if (name == "bicubic") return Interpolation::kBicubic;
  throw UsageError("interpolation: bilinear or bicubic, not '" + name + "'");
}

Picture resize(const Picture& picture, int width_px, int height_px, Interpolation interpolation) {
  Picture out(width_px, height_px);
  resize_crop_into(picture, {width_px, height_px, 0, 0, width_px, height_px}, interpolation, out.pixels.data());
  return out;
}

void resize_crop_into(const Picture& picture, const CropPlan& plan, Interpolation interpolation, uint8_t* out) {
  filter::resize_crop_with(filter::best_kernel(), picture, plan, interpolation, out);
}

}  // namespace engraft::image
