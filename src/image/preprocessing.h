#pragma once

#include <array>
#include <string>

namespace engraft::image {

/// How a picture becomes the square of pixels a backbone was trained on. A plain value; `validate()` of transform.h
/// says what is allowed.
struct Preprocessing {
  /// Side of the square the network sees. 1 to 16384.
  int size_px = 224;
  /// With resize "short": the share of the resized short side that the centre crop keeps, in (0, 1].
  double crop_ratio = 0.875;
  /// "short": short side to round(size / crop_ratio), then the centre crop. "squash": to size x size, no crop.
  std::string resize = "short";
  /// "bilinear" or "bicubic", both antialiased as Pillow's.
  std::string interpolation = "bilinear";
  /// Of RGB / 255, in the order red, green, blue.
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> std{0.229, 0.224, 0.225};
  /// "rgb" or "bgr": the order of the planes the network wants. Pixels stay RGB until they are normalised.
  std::string channels = "rgb";
  /// Turn pictures upright by their EXIF orientation before anything else.
  bool exif = false;
  /// JPEGs may be decoded at a half, a quarter or an eighth of their size, where both sides stay at least as long as
  /// the resized short side: quicker, with other bytes than without. Where augmentation crops, pictures are decoded
  /// whole.
  bool fast_decode = false;

  bool operator==(const Preprocessing& other) const {
    return size_px == other.size_px && crop_ratio == other.crop_ratio && resize == other.resize &&
           interpolation == other.interpolation && mean == other.mean && std == other.std &&
           channels == other.channels && exif == other.exif && fast_decode == other.fast_decode;
  }
  bool operator!=(const Preprocessing& other) const { return !(*this == other); }
};

}  // namespace engraft::image
