#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/random.h"
#include "image/augment.h"
#include "image/picture.h"
#include "image/preprocessing.h"

/// The two halves of augment(): numbers drawn, and pixels made of them.
namespace engraft::image {

/// A part of a picture; inside of it, and not empty unless said otherwise.
struct Box {
  int left_px = 0;
  int top_px = 0;
  int width_px = 0;
  int height_px = 0;

  bool operator==(const Box& o) const {
    return left_px == o.left_px && top_px == o.top_px && width_px == o.width_px && height_px == o.height_px;
  }
};

/// The parameters of Keras' apply_affine_transform, with its signs: they say where an output pixel is looked up.
struct Warp {
  double rotate_deg = 0;
  double down = 0;   // share of the height; Keras' tx
  double right = 0;  // share of the width; Keras' ty
  double shear_deg = 0;
  double zoom_rows = 1;  // above 1 shows more of the picture
  double zoom_columns = 1;
};

/// The operations of TrivialAugmentWide, in torchvision's order.
enum class TrivialOperation {
  kIdentity,
  kShearX,
  kShearY,
  kTranslateX,
  kTranslateY,
  kRotate,
  kBrightness,
  kColor,
  kContrast,
  kSharpness,
  kPosterize,
  kSolarize,
  kAutoContrast,
  kEqualize,
};
constexpr int kTrivialOperations = 14;

struct Trivial {
  TrivialOperation operation = TrivialOperation::kIdentity;
  /// What torchvision's _apply_op takes: a tangent, pixels, degrees, what is added to a factor of 1, bits, a threshold.
  double magnitude = 0;
};

/// Factors of 1 and a hue of 0 leave the picture as it is.
struct Jitter {
  /// A permutation of 0 to 3: brightness, contrast, saturation, hue.
  std::array<int, 4> order{0, 1, 2, 3};
  double brightness = 1;
  double contrast = 1;
  double saturation = 1;
  double hue = 0;
};

/// All that is random about one view of one picture, in the order in which it is applied.
struct View {
  std::optional<Box> crop;  // of the picture; the rest is of the square
  std::optional<Warp> warp;
  bool mirrored = false;
  std::optional<Trivial> trivial;
  std::optional<Jitter> jitter;
  std::optional<Box> erased;  // may be empty
};

/// Draws the view of a picture of `width_px` x `height_px` that becomes a square of `size_px`. What `augmentation` does
/// not ask for takes no number from the stream; the rest in this order:
/// - crop: up to ten times an area and the logarithm of a ratio; of the first that fits, top and left (torchvision's
///   RandomResizedCrop.get_params; the centre where none fits)
/// - warp: rotate, down, right, shear, zoom of rows, zoom of columns, all six
/// - flip: one
/// - trivial: the operation; its magnitude, of 31 evenly spaced, where it has one; its sign where it has one
/// - jitter: the order (permutation()), then brightness, contrast, saturation, hue, those with a range
/// - erase: one; if it is to be, up to ten times an area and the logarithm of a ratio; of the first that fits, top and
///   left (RandomErasing.get_params; nothing where none fits)
View draw_view(const Augmentation& augmentation, int width_px, int height_px, int size_px, RandomStream& stream);

/// The view of `picture` (already upright) that `view` describes, to out [size, size, 3] RGB. A pure function.
/// `preprocessing` must be valid, boxes inside, zooms above 0.
void apply_view(const Picture& picture, const Preprocessing& preprocessing, const View& view, uint8_t* out);

/// The same without view.crop, of what preprocess() makes of the picture.
void apply_view_of_square(Picture square, const Preprocessing& preprocessing, const View& view, uint8_t* out);

}  // namespace engraft::image
