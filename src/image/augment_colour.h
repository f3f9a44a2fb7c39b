#pragma once

#include "image/augment_view.h"
#include "image/picture.h"

/// Colours changed in place, each with the bits of torchvision's function of a Pillow picture. Private to this folder.
namespace engraft::image::augmenting {

/// ImageEnhance's Brightness, Contrast, Color and Sharpness. `factor` from 0; 1 leaves the picture as it is.
void adjust_brightness(Picture& picture, double factor);
void adjust_contrast(Picture& picture, double factor);
void adjust_saturation(Picture& picture, double factor);
void adjust_sharpness(Picture& picture, double factor);

/// torchvision's adjust_hue: through Pillow's 8-bit HSV, which loses a little; `turns` from -0.5 to 0.5.
void adjust_hue(Picture& picture, double turns);

/// ImageOps: `bits` kept, 1 to 8; values from `threshold` inverted; each channel stretched; each histogram evened out.
void posterize(Picture& picture, int bits);
void solarize(Picture& picture, double threshold);
void autocontrast(Picture& picture);
void equalize(Picture& picture);

/// torchvision's ColorJitter with these numbers.
void apply_jitter(Picture& picture, const Jitter& jitter);

}  // namespace engraft::image::augmenting
