#pragma once

#include <cstdint>
#include <string>

#include "base/random.h"
#include "image/picture.h"
#include "image/preprocessing.h"

namespace engraft::image {

/// What is drawn at random about a training picture. All zero: nothing, and augment() is preprocess().
/// Applied in this order: crop (in place of the preprocessing's resize), one affine warp, flip, trivial, jitter, erase.
struct Augmentation {
  // As the exercise has it (Keras' ImageDataGenerator, fill_mode "nearest", bilinear): one warp of the square that
  // preprocessing gives, drawn uniformly from plus and minus these.
  double rotate_deg = 0;  // 0 to 180
  double shift = 0;       // along each axis, as a share of the side, 0 to 1
  double shear_deg = 0;   // 0 to 89
  double zoom = 0;        // each axis by its own factor from [1 - zoom, 1 + zoom], 0 to below 1
  // As torchvision.transforms has it.
  double crop_least = 0;  // RandomResizedCrop: share of the picture's area, (0, 1]; 0: no random crop
  double crop_most = 1;
  double flip = 0;        // probability of a mirror image
  bool trivial = false;   // TrivialAugmentWide, 31 magnitudes, nearest
  double brightness = 0;  // ColorJitter: factors from [max(0, 1 - x), 1 + x], in random order; 0 to 10
  double contrast = 0;
  double saturation = 0;
  double hue = 0;    // turns, 0 to 0.5
  double erase = 0;  // RandomErasing: probability; area 0.02 to 0.33, ratio 0.3 to 3.3, filled with the mean colour

  bool operator==(const Augmentation& o) const;
  bool operator!=(const Augmentation& o) const { return !(*this == o); }
};

/// Reads a list such as "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip": the words rotate shift shear zoom crop flip
/// trivial jitter erase in any order, each at most once. "crop" alone is crop=0.08:1 (LEAST:MOST), "flip" flip=0.5,
/// "jitter" jitter=0.4:0.4:0.4:0 (brightness:contrast:saturation:hue), "erase" erase=0.25. Two names stand for a list:
/// "practicum" for the one above, "standard" for "crop,flip", and may stand in one; "" and "none" are for nothing.
/// Throws UsageError naming the part that is wrong and what it may be.
Augmentation parse_augmentation(const std::string& spec);

/// The list that parse_augmentation reads back to the same value, in a fixed order and number format; "none" when
/// nothing is drawn. For records and cache keys.
std::string to_text(const Augmentation& augmentation);

/// Whether anything is asked for; false: augment() is preprocess().
bool is_random(const Augmentation& augmentation);

/// One view of `picture` (already upright) to out [size, size, 3] RGB: all that is random comes from `stream`, so a
/// view is a pure function of the stream's seed and key. `preprocessing` must be valid, and `augmentation` as
/// parse_augmentation gives it. Thread-safe, each thread with its stream. augment_view.h has its two halves.
void augment(const Picture& picture, const Preprocessing& preprocessing, const Augmentation& augmentation,
             RandomStream& stream, uint8_t* out);

/// Whether views are made of the square that preprocess() gives; else, with a random crop, of the picture itself.
bool is_of_square(const Augmentation& augmentation);

/// augment() of the picture that preprocess() made `square` of, where is_of_square(): one resize for all its views.
void augment_square(const Picture& square, const Preprocessing& preprocessing, const Augmentation& augmentation,
                    RandomStream& stream, uint8_t* out);

}  // namespace engraft::image
