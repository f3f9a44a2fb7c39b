#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace engraft::image {

/// What a user says of a backbone's preprocessing; an empty field is left to the file beside the backbone, to the
/// archive or to the table (model/preprocessing_source.h).
struct PreprocessingFlags {
  std::optional<int64_t> size;
  std::optional<double> crop_ratio;
  std::optional<std::string> resize;
  std::optional<std::string> interpolation;
  std::optional<std::array<double, 3>> mean;
  std::optional<std::array<double, 3>> std;
  std::optional<std::string> channels;
  std::optional<bool> exif;
  std::optional<bool> fast_decode;
};

template <class Visitor>
void describe(Visitor& v, PreprocessingFlags& o) {
  v.group(
      "Preprocessing (what is not given comes from NAME.toml beside the backbone, engraft.json inside it, or the "
      "built-in table)");
  v.field("size", o.size, "side of the square picture the network sees").value("PX").at_least(8).at_most(8192);
  v.field("crop_ratio", o.crop_ratio, "short side becomes size / ratio before the centre crop").above(0).at_most(1);
  v.field("resize", o.resize, "short: keep the aspect, then crop; squash: straight to size x size")
      .one_of({"short", "squash"});
  v.field("interpolation", o.interpolation, "as Pillow's, antialiased").one_of({"bilinear", "bicubic"});
  v.field("mean", o.mean, "subtracted from each channel of pixel/255; one number or three");
  v.field("std", o.std, "divides each channel after that; one number or three").above(0);
  v.field("channels", o.channels, "order in which the network wants them").one_of({"rgb", "bgr"});
  v.field("exif", o.exif, "turn pictures as their EXIF orientation says");
  v.field(
      "fast_decode", o.fast_decode,
      "decode large JPEGs at a half, a quarter or an eighth of their size, as Pillow's draft() does; other bytes, so "
      "use it everywhere or nowhere");
}

}  // namespace engraft::image
