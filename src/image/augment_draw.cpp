#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "image/augment_view.h"

namespace engraft::image {
namespace {

constexpr int kAttempts = 10;

struct Size {
  int width_px = 0;
  int height_px = 0;
};

/// Shares of an area, and ratios of one side to the other.
struct BoxRange {
  double least_area, most_area;
  double least_ratio, most_ratio;
};

struct BoxDraw {
  double area_px = 0;
  double ratio = 1;
};

BoxDraw draw_box(const Size& whole, const BoxRange& range, RandomStream& stream) {
  BoxDraw out;
  out.area_px =
      static_cast<double>(whole.width_px) * whole.height_px * stream.uniform(range.least_area, range.most_area);
  out.ratio = std::exp(stream.uniform(std::log(range.least_ratio), std::log(range.most_ratio)));
  return out;
}

/// Python's int(round()): half to even.
int rounded(double value) { return static_cast<int>(std::nearbyint(value)); }

/// Where a box of this size lies: top first, then left.
Box place(const Size& whole, const Size& box, RandomStream& stream) {
  const auto top = static_cast<int>(stream.below(static_cast<uint64_t>(whole.height_px - box.height_px) + 1));
  const auto left = static_cast<int>(stream.below(static_cast<uint64_t>(whole.width_px - box.width_px) + 1));
  return {left, top, box.width_px, box.height_px};
}

/// The largest box in the middle whose ratio is in range.
Box centre(const Size& whole, const BoxRange& range) {
  Size box = whole;
  const double ratio = static_cast<double>(whole.width_px) / whole.height_px;
  if (ratio < range.least_ratio) box.height_px = rounded(whole.width_px / range.least_ratio);
  if (ratio > range.most_ratio) box.width_px = rounded(whole.height_px * range.most_ratio);
  return {(whole.width_px - box.width_px) / 2, (whole.height_px - box.height_px) / 2, box.width_px, box.height_px};
}

Box draw_crop(const Augmentation& a, const Size& whole, RandomStream& stream) {
  const BoxRange range{a.crop_least, a.crop_most, 3.0 / 4.0, 4.0 / 3.0};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const BoxDraw drawn = draw_box(whole, range, stream);
    const Size box{rounded(std::sqrt(drawn.area_px * drawn.ratio)), rounded(std::sqrt(drawn.area_px / drawn.ratio))};
    if (box.width_px > 0 && box.width_px <= whole.width_px && box.height_px > 0 && box.height_px <= whole.height_px)
      return place(whole, box, stream);
  }
  return centre(whole, range);
}

std::optional<Box> draw_erased(const Augmentation& a, int size_px, RandomStream& stream) {
  if (!(stream.uniform() < a.erase)) return std::nullopt;
  const Size whole{size_px, size_px};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const BoxDraw drawn = draw_box(whole, {0.02, 0.33, 0.3, 3.3}, stream);
    const Size box{rounded(std::sqrt(drawn.area_px / drawn.ratio)), rounded(std::sqrt(drawn.area_px * drawn.ratio))};
    if (box.width_px < size_px && box.height_px < size_px) return place(whole, box, stream);
  }
  return std::nullopt;
}

Warp draw_warp(const Augmentation& a, RandomStream& stream) {
  const auto around = [&stream](double middle, double range) { return stream.uniform(middle - range, middle + range); };
  Warp warp;
  warp.rotate_deg = around(0, a.rotate_deg);
  warp.down = around(0, a.shift);
  warp.right = around(0, a.shift);
  warp.shear_deg = around(0, a.shear_deg);
  warp.zoom_rows = around(1, a.zoom);
  warp.zoom_columns = around(1, a.zoom);
  return warp;
}

/// Magnitudes of an operation from the first to the last of 31 bins; equal: it has none.
struct Magnitudes {
  double first = 0;
  double last = 0;
  bool has_sign = false;
};

Magnitudes magnitudes_of(TrivialOperation operation) {
  switch (operation) {
    case TrivialOperation::kIdentity:
    case TrivialOperation::kAutoContrast:
    case TrivialOperation::kEqualize:
      return {};
    case TrivialOperation::kTranslateX:
    case TrivialOperation::kTranslateY:
      return {0, 32, true};
    case TrivialOperation::kRotate:
      return {0, 135, true};
    case TrivialOperation::kPosterize:
      return {8, 2};
    case TrivialOperation::kSolarize:
      return {255, 0};
    default:
      return {0, 0.99, true};
  }
}

/// torch.linspace has the same magnitudes in single precision, where its 16 pixels are 15.999999 and cut to 15.
Trivial draw_trivial(RandomStream& stream) {
  constexpr int kBins = 31;
  Trivial out;
  out.operation = static_cast<TrivialOperation>(stream.below(kTrivialOperations));
  const Magnitudes range = magnitudes_of(out.operation);
  if (range.first == range.last) return out;
  const auto bin = static_cast<double>(stream.below(kBins));
  out.magnitude = range.first + (range.last - range.first) * bin / (kBins - 1);
  if (out.operation == TrivialOperation::kPosterize) out.magnitude = 8 - std::nearbyint(bin / 5);
  if (range.has_sign && stream.below(2) == 1) out.magnitude = -out.magnitude;
  return out;
}

Jitter draw_jitter(const Augmentation& a, RandomStream& stream) {
  Jitter out;
  const std::vector<int64_t> order = permutation(4, stream);
  std::transform(order.begin(), order.end(), out.order.begin(), [](int64_t i) { return static_cast<int>(i); });
  const auto factor = [&stream](double range) {
    return range > 0 ? stream.uniform(std::max(0.0, 1 - range), 1 + range) : 1.0;
  };
  out.brightness = factor(a.brightness);
  out.contrast = factor(a.contrast);
  out.saturation = factor(a.saturation);
  if (a.hue > 0) out.hue = stream.uniform(-a.hue, a.hue);
  return out;
}

}  // namespace

View draw_view(const Augmentation& a, int width_px, int height_px, int size_px, RandomStream& stream) {
  View view;
  if (a.crop_least > 0) view.crop = draw_crop(a, {width_px, height_px}, stream);
  if (a.rotate_deg > 0 || a.shift > 0 || a.shear_deg > 0 || a.zoom > 0) view.warp = draw_warp(a, stream);
  if (a.flip > 0) view.mirrored = stream.uniform() < a.flip;
  if (a.trivial) view.trivial = draw_trivial(stream);
  if (a.brightness > 0 || a.contrast > 0 || a.saturation > 0 || a.hue > 0) view.jitter = draw_jitter(a, stream);
  if (a.erase > 0) view.erased = draw_erased(a, size_px, stream);
  return view;
}

}  // namespace engraft::image
