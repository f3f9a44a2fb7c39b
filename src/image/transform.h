#pragma once

#include <cstdint>

#include "image/decode.h"
#include "image/picture.h"
#include "image/preprocessing.h"

namespace engraft::image {

/// A resize, and the window of the resized picture that is kept.
struct CropPlan {
  int resized_width_px = 0;
  int resized_height_px = 0;
  int left_px = 0;
  int top_px = 0;
  int width_px = 0;
  int height_px = 0;

  bool operator==(const CropPlan& o) const {
    return resized_width_px == o.resized_width_px && resized_height_px == o.resized_height_px && left_px == o.left_px &&
           top_px == o.top_px && width_px == o.width_px && height_px == o.height_px;
  }
};

/// Throws UsageError naming the first field that is out of range, what is allowed and what was found.
void validate(const Preprocessing& preprocessing);

/// What becomes of a picture of `width_px` x `height_px`; numbers as torchvision's Resize and CenterCrop have them:
/// short side round(size / crop_ratio), long side int(short side * long / short), offsets round((side - size) / 2),
/// round() half to even. A square picture of "squash" has no crop.
/// Throws DataError when a side would pass 2^31 - 1. `preprocessing` must be valid.
CropPlan plan(int width_px, int height_px, const Preprocessing& preprocessing);

/// `picture` (already upright) to out [size, size, 3] RGB. `preprocessing` must be valid.
void preprocess(const Picture& picture, const Preprocessing& preprocessing, uint8_t* out);

/// How a picture is decoded for plan(): upright and reduced as `preprocessing` says.
DecodeOptions decode_options(const Preprocessing& preprocessing);

/// decode() with decode_options(), then preprocess(). `info` may be null.
void decode_and_preprocess(ByteSpan bytes, const Preprocessing& preprocessing, uint8_t* out, ImageInfo* info = nullptr);

}  // namespace engraft::image
