#include "image/transform.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "image/resize.h"

namespace engraft::image {
namespace {

constexpr int kLargestSize = 16384;

[[noreturn]] void refuse(const char* field, const std::string& allowed, const std::string& found) {
  throw UsageError(text::cat("preprocessing.", field, ": ", allowed, ", not ", found));
}

std::string quoted(const std::string& word) { return "'" + word + "'"; }

/// Python's round(): half to even, in the default rounding mode.
int round_half_even(double value) { return static_cast<int>(std::nearbyint(value)); }

/// What the short side becomes before the crop.
int short_side_of(const Preprocessing& p) { return round_half_even(p.size_px / p.crop_ratio); }

int side(double value, int width, int height) {
  if (value > std::numeric_limits<int>::max())
    throw DataError(text::cat(width, "x", height, " pixels are too long and narrow to be resized"));
  return static_cast<int>(value);
}

}  // namespace

void validate(const Preprocessing& p) {
  if (p.size_px < 1 || p.size_px > kLargestSize)
    refuse("size_px", text::cat("1 to ", kLargestSize), text::cat(p.size_px));
  if (!(p.crop_ratio > 0.0 && p.crop_ratio <= 1.0))
    refuse("crop_ratio", "above 0 and at most 1", text::shortest(p.crop_ratio));
  if (p.size_px / p.crop_ratio > 4.0 * kLargestSize)
    refuse("crop_ratio", text::cat("at least ", text::shortest(p.size_px / (4.0 * kLargestSize)), " at this size"),
           text::shortest(p.crop_ratio));
  if (p.resize != "short" && p.resize != "squash") refuse("resize", "short or squash", quoted(p.resize));
  if (p.interpolation != "bilinear" && p.interpolation != "bicubic")
    refuse("interpolation", "bilinear or bicubic", quoted(p.interpolation));
  for (const double mean : p.mean)
    if (!std::isfinite(mean)) refuse("mean", "three finite numbers", text::shortest(mean));
  for (const double std : p.std)
    if (!(std::isfinite(std) && std > 0.0)) refuse("std", "three finite numbers above 0", text::shortest(std));
  if (p.channels != "rgb" && p.channels != "bgr") refuse("channels", "rgb or bgr", quoted(p.channels));
}

CropPlan plan(int width, int height, const Preprocessing& p) {
  const int size = p.size_px;
  if (p.resize == "squash") return {size, size, 0, 0, size, size};
  const int short_side = short_side_of(p);
  const auto long_side = [&](int longer, int shorter) {
    return side(static_cast<double>(static_cast<int64_t>(short_side) * longer) / shorter, width, height);
  };
  CropPlan out;
  out.resized_width_px = width <= height ? short_side : long_side(width, height);
  out.resized_height_px = width <= height ? long_side(height, width) : short_side;
  out.width_px = out.height_px = size;
  out.left_px = round_half_even((out.resized_width_px - size) / 2.0);
  out.top_px = round_half_even((out.resized_height_px - size) / 2.0);
  return out;
}

void preprocess(const Picture& picture, const Preprocessing& p, uint8_t* out) {
  resize_crop_into(picture, plan(picture.width_px, picture.height_px, p), interpolation_of(p.interpolation), out);
}

DecodeOptions decode_options(const Preprocessing& p) {
  DecodeOptions options;
  options.exif = p.exif;
  if (p.fast_decode) options.least_side_px = p.resize == "squash" ? p.size_px : short_side_of(p);
  return options;
}

void decode_and_preprocess(ByteSpan bytes, const Preprocessing& p, uint8_t* out, ImageInfo* info) {
  Decoded decoded = decode(bytes, decode_options(p));
  preprocess(decoded.picture, p, out);
  if (info != nullptr) *info = std::move(decoded.info);
}

}  // namespace engraft::image
