#include "finetune/mixing.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace engraft::finetune {

namespace {

double draw_gamma(double alpha, RandomStream& stream) {
  if (alpha < 1) {
    const double boost = std::pow(1.0 - stream.uniform(), 1.0 / alpha);
    return draw_gamma(alpha + 1, stream) * boost;
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = stream.normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(1.0 - stream.uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

/// `pixels` with the pictures moved on by one.
std::vector<uint8_t> rolled(const uint8_t* pixels, int64_t count, int64_t bytes) {
  std::vector<uint8_t> others(static_cast<size_t>(count * bytes));
  std::copy(pixels + (count - 1) * bytes, pixels + count * bytes, others.begin());
  std::copy(pixels, pixels + (count - 1) * bytes, others.begin() + bytes);
  return others;
}

void blend(uint8_t* own, const std::vector<uint8_t>& others, double share) {
  for (size_t i = 0; i < others.size(); ++i) {
    own[i] = static_cast<uint8_t>(std::lround(share * own[i] + (1 - share) * others[i]));
  }
}

/// Half-open, in pixels.
struct Box {
  int64_t left, top, right, bottom;
};

Box draw_box(int64_t size, double share, RandomStream& stream) {
  const double half = static_cast<double>(size) * std::sqrt(1 - share) / 2;
  const auto x = static_cast<double>(stream.below(static_cast<uint64_t>(size)));
  const auto y = static_cast<double>(stream.below(static_cast<uint64_t>(size)));
  const auto inside = [&](double value) {
    return std::clamp(static_cast<int64_t>(std::floor(value)), int64_t{0}, size);
  };
  return {inside(x - half), inside(y - half), inside(x + half), inside(y + half)};
}

void paste(uint8_t* own, const std::vector<uint8_t>& others, int64_t count, int64_t size, const Box& box) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t y = box.top; y < box.bottom; ++y) {
      const int64_t begin = ((i * size + y) * size + box.left) * 3;
      std::copy_n(others.begin() + begin, (box.right - box.left) * 3, own + begin);
    }
  }
}

}  // namespace

double draw_beta(double alpha, RandomStream& stream) {
  constexpr double kAlwaysHalf = 1e15;  // draws lie within 1e-7 of it from here on
  if (!(alpha > 0 && alpha < kAlwaysHalf)) return 0.5;
  const double a = draw_gamma(alpha, stream), b = draw_gamma(alpha, stream);
  return a + b > 0 ? a / (a + b) : 0.5;  // both underflow at a tiny alpha
}

double mix_pictures(uint8_t* pixels, int64_t count, int64_t size_px, const MixOptions& options, RandomStream& stream) {
  const bool is_cutmix = options.cutmix > 0 && (options.mixup <= 0 || stream.uniform() < 0.5);
  const double share = draw_beta(is_cutmix ? options.cutmix : options.mixup, stream);
  const std::vector<uint8_t> others = rolled(pixels, count, size_px * size_px * 3);
  if (!is_cutmix) {
    blend(pixels, others, share);
    return share;
  }
  const Box box = draw_box(size_px, share, stream);
  paste(pixels, others, count, size_px, box);
  return 1 -
         static_cast<double>((box.right - box.left) * (box.bottom - box.top)) / static_cast<double>(size_px * size_px);
}

}  // namespace engraft::finetune
