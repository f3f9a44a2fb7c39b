#include "image/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "image/augment_colour.h"
#include "image/augment_view.h"
#include "image/augment_warp.h"
#include "image/resize.h"
#include "image/transform.h"

namespace engraft::image {
namespace {

using namespace augmenting;

Picture cut_out(const Picture& picture, const Box& box) {
  Picture out(box.width_px, box.height_px);
  for (int y = 0; y < box.height_px; ++y)
    std::memcpy(out.row(y), picture.row(box.top_px + y) + static_cast<size_t>(box.left_px) * 3, out.stride_bytes());
  return out;
}

void apply_trivial(Picture& picture, const Trivial& trivial) {
  const double magnitude = trivial.magnitude, pixels = std::trunc(magnitude);
  switch (trivial.operation) {
    case TrivialOperation::kIdentity:
      return;
    case TrivialOperation::kShearX:
      picture = moved(picture, {1, magnitude, 0, 0, 1, 0});
      return;
    case TrivialOperation::kShearY:
      picture = moved(picture, {1, 0, 0, magnitude, 1, 0});
      return;
    case TrivialOperation::kTranslateX:
      picture = moved(picture, {1, 0, -pixels, 0, 1, 0});
      return;
    case TrivialOperation::kTranslateY:
      picture = moved(picture, {1, 0, 0, 0, 1, -pixels});
      return;
    case TrivialOperation::kRotate:
      picture = rotated(picture, magnitude);
      return;
    case TrivialOperation::kBrightness:
      return adjust_brightness(picture, 1 + magnitude);
    case TrivialOperation::kColor:
      return adjust_saturation(picture, 1 + magnitude);
    case TrivialOperation::kContrast:
      return adjust_contrast(picture, 1 + magnitude);
    case TrivialOperation::kSharpness:
      return adjust_sharpness(picture, 1 + magnitude);
    case TrivialOperation::kPosterize:
      return posterize(picture, static_cast<int>(magnitude));
    case TrivialOperation::kSolarize:
      return solarize(picture, magnitude);
    case TrivialOperation::kAutoContrast:
      return autocontrast(picture);
    case TrivialOperation::kEqualize:
      return equalize(picture);
  }
}

void erase(Picture& picture, const Box& box, const std::array<double, 3>& mean) {
  std::array<uint8_t, 3> colour;
  for (size_t c = 0; c < 3; ++c) colour[c] = static_cast<uint8_t>(std::lround(std::clamp(255 * mean[c], 0.0, 255.0)));
  for (int y = box.top_px; y < box.top_px + box.height_px; ++y) {
    uint8_t* to = picture.row(y) + static_cast<size_t>(box.left_px) * 3;
    for (int x = 0; x < box.width_px; ++x, to += 3) std::copy(colour.begin(), colour.end(), to);
  }
}

}  // namespace

void apply_view(const Picture& picture, const Preprocessing& preprocessing, const View& view, uint8_t* out) {
  const int size = preprocessing.size_px;
  Picture square;
  if (view.crop) {
    square = resize(cut_out(picture, *view.crop), size, size, interpolation_of(preprocessing.interpolation));
  } else {
    square = Picture(size, size);
    preprocess(picture, preprocessing, square.pixels.data());
  }
  apply_view_of_square(std::move(square), preprocessing, view, out);
}

void apply_view_of_square(Picture square, const Preprocessing& preprocessing, const View& view, uint8_t* out) {
  const int size = preprocessing.size_px;
  if (view.warp) square = warped(square, map_of(*view.warp, size));
  if (view.mirrored) mirror(square);
  if (view.trivial) apply_trivial(square, *view.trivial);
  if (view.jitter) apply_jitter(square, *view.jitter);
  if (view.erased) erase(square, *view.erased, preprocessing.mean);
  std::copy(square.pixels.begin(), square.pixels.end(), out);
}

void augment(const Picture& picture, const Preprocessing& preprocessing, const Augmentation& augmentation,
             RandomStream& stream, uint8_t* out) {
  const View view = draw_view(augmentation, picture.width_px, picture.height_px, preprocessing.size_px, stream);
  apply_view(picture, preprocessing, view, out);
}

void augment_square(const Picture& square, const Preprocessing& preprocessing, const Augmentation& augmentation,
                    RandomStream& stream, uint8_t* out) {
  const int size = preprocessing.size_px;
  apply_view_of_square(square, preprocessing, draw_view(augmentation, size, size, size, stream), out);
}

}  // namespace engraft::image
