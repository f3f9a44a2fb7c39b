#include "image/augment_colour.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace engraft::image::augmenting {
namespace {

using Table = std::array<uint8_t, 256>;
/// How often each value occurs in red, green and blue.
using Histograms = std::array<std::array<int64_t, 256>, 3>;

/// `from` + factor (`to` - `from`), cut off: Pillow's src/libImaging/Blend.c, in single precision as there.
uint8_t blend(int from, int to, float factor) {
  const float value = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<uint8_t>(std::min(std::max(value, 0.0F), 255.0F));
}

/// Pillow's convert("L"): ITU-R 601-2 luma in 16-bit fixed point.
int luma(const uint8_t* rgb) { return (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16; }

template <class Function>
Table table_of(const Function& function) {
  Table table;
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = function(i);
  return table;
}

void look_up(Picture& picture, const Table& table) {
  for (uint8_t& value : picture.pixels) value = table[value];
}

void look_up(Picture& picture, const std::array<Table, 3>& tables) {
  for (size_t i = 0; i < picture.pixels.size(); i += 3)
    for (size_t c = 0; c < 3; ++c) picture.pixels[i + c] = tables[c][picture.pixels[i + c]];
}

Histograms histograms_of(const Picture& picture) {
  Histograms counts{};
  for (size_t i = 0; i < picture.pixels.size(); i += 3)
    for (size_t c = 0; c < 3; ++c) ++counts[c][picture.pixels[i + c]];
  return counts;
}

Table identity() {
  return table_of([](int i) { return static_cast<uint8_t>(i); });
}

Table stretched(const std::array<int64_t, 256>& counts) {
  const auto occurs = [](int64_t count) { return count > 0; };
  const auto low = static_cast<int>(std::find_if(counts.begin(), counts.end(), occurs) - counts.begin());
  const auto high = 255 - static_cast<int>(std::find_if(counts.rbegin(), counts.rend(), occurs) - counts.rbegin());
  if (high <= low) return identity();
  const double scale = 255.0 / (high - low);
  const double offset = -low * scale;
  return table_of([&](int i) { return static_cast<uint8_t>(std::clamp(i * scale + offset, 0.0, 255.0)); });
}

Table evened(const std::array<int64_t, 256>& counts) {
  const auto last = std::find_if(counts.rbegin(), counts.rend(), [](int64_t count) { return count > 0; });
  if (last == counts.rend()) return identity();
  const int64_t step = (std::accumulate(counts.begin(), counts.end(), int64_t{0}) - *last) / 255;
  if (step == 0) return identity();
  int64_t below = step / 2;
  return table_of([&](int i) {
    const auto value = static_cast<uint8_t>(std::min<int64_t>(below / step, 255));
    below += counts[static_cast<size_t>(i)];
    return value;
  });
}

/// The inner pixels of one row weighed with their eight neighbours (ImageFilter.SMOOTH); the sums in single precision
/// and in the order of Pillow's src/libImaging/Filter.c, the row below first. Pointers are to the second pixel.
void smooth_row(const uint8_t* source, ptrdiff_t stride, size_t lanes, uint8_t* out) {
  constexpr float kRound = 1.0F / 13.0F, kCentre = 5.0F / 13.0F;
  const auto at = [](const uint8_t* p) { return static_cast<float>(*p); };
  for (size_t i = 0; i < lanes; ++i, ++source) {
    const uint8_t *below = source + stride, *above = source - stride;
    float sum = 0.5F;
    sum += at(below - 3) * kRound + at(below) * kRound + at(below + 3) * kRound;
    sum += at(source - 3) * kRound + at(source) * kCentre + at(source + 3) * kRound;
    sum += at(above - 3) * kRound + at(above) * kRound + at(above + 3) * kRound;
    out[i] = static_cast<uint8_t>(std::min(std::max(sum, 0.0F), 255.0F));
  }
}

/// The border stays, and with it all of a picture narrower than the filter.
Picture smoothed(const Picture& picture) {
  Picture out = picture;
  if (picture.width_px < 3 || picture.height_px < 3) return out;
  for (int y = 1; y + 1 < picture.height_px; ++y)
    smooth_row(picture.row(y) + 3, static_cast<ptrdiff_t>(picture.stride_bytes()), picture.stride_bytes() - 6,
               out.row(y) + 3);
  return out;
}

/// Hue, saturation and value of 8 bits each.
struct Hsv {
  uint8_t h, s, v;
};

/// Pillow's rgb2hsv (src/libImaging/Convert.c), with its mixture of single and double precision.
Hsv hsv_of(const uint8_t* rgb) {
  const int most = std::max({rgb[0], rgb[1], rgb[2]}), least = std::min({rgb[0], rgb[1], rgb[2]});
  if (most == least) return {0, 0, static_cast<uint8_t>(most)};
  const auto range = static_cast<float>(most - least);
  const auto distance = [&](int c) { return static_cast<float>(most - rgb[c]) / range; };
  const float red = distance(0), green = distance(1), blue = distance(2);
  float sextant = blue - green;
  if (rgb[0] != most) {
    sextant = rgb[1] == most ? static_cast<float>(2.0 + red - blue) : static_cast<float>(4.0 + green - red);
  }
  const double turns = sextant / 6.0 + 1.0;
  const auto hue = static_cast<float>(turns >= 1.0 ? turns - 1.0 : turns);
  const float saturation = range / static_cast<float>(most);
  return {static_cast<uint8_t>(hue * 255.0), static_cast<uint8_t>(saturation * 255.0), static_cast<uint8_t>(most)};
}

/// C's round() of a number that is not negative.
uint8_t rounded(double value) {
  const auto whole = static_cast<int>(value);
  return static_cast<uint8_t>(whole + (value - whole >= 0.5 ? 1 : 0));
}

std::array<uint8_t, 3> rgb_of(const Hsv& hsv) {
  if (hsv.s == 0) return {hsv.v, hsv.v, hsv.v};
  const double sextants = static_cast<float>(hsv.h) * 6.0 / 255.0;
  const int sextant = static_cast<int>(sextants);
  const auto part = static_cast<float>(sextants - static_cast<float>(sextant));
  const auto saturation = static_cast<float>(static_cast<float>(hsv.s) / 255.0);
  const uint8_t v = hsv.v, p = rounded(v * (1.0 - saturation)), q = rounded(v * (1.0 - saturation * part)),
                t = rounded(v * (1.0 - saturation * (1.0 - part)));
  switch (sextant % 6) {
    case 0:
      return {v, t, p};
    case 1:
      return {q, v, p};
    case 2:
      return {p, v, t};
    case 3:
      return {p, q, v};
    case 4:
      return {t, p, v};
    default:
      return {v, p, q};
  }
}

}  // namespace

void adjust_brightness(Picture& picture, double factor) {
  look_up(picture, table_of([&](int i) { return blend(0, i, static_cast<float>(factor)); }));
}

void adjust_contrast(Picture& picture, double factor) {
  int64_t sum = 0;
  for (size_t i = 0; i < picture.pixels.size(); i += 3) sum += luma(&picture.pixels[i]);
  const double pixels = static_cast<double>(picture.width_px) * picture.height_px;
  const auto mean = static_cast<int>(static_cast<double>(sum) / pixels + 0.5);
  look_up(picture, table_of([&](int i) { return blend(mean, i, static_cast<float>(factor)); }));
}

void adjust_saturation(Picture& picture, double factor) {
  for (size_t i = 0; i < picture.pixels.size(); i += 3) {
    uint8_t* rgb = &picture.pixels[i];
    const int grey = luma(rgb);
    for (int c = 0; c < 3; ++c) rgb[c] = blend(grey, rgb[c], static_cast<float>(factor));
  }
}

void adjust_sharpness(Picture& picture, double factor) {
  const Picture smooth = smoothed(picture);
  for (size_t i = 0; i < picture.pixels.size(); ++i)
    picture.pixels[i] = blend(smooth.pixels[i], picture.pixels[i], static_cast<float>(factor));
}

void adjust_hue(Picture& picture, double turns) {
  const int by = static_cast<int>(turns * 255.0);
  for (size_t i = 0; i < picture.pixels.size(); i += 3) {
    Hsv hsv = hsv_of(&picture.pixels[i]);
    hsv.h = static_cast<uint8_t>(hsv.h + by);
    const std::array<uint8_t, 3> rgb = rgb_of(hsv);
    std::copy(rgb.begin(), rgb.end(), &picture.pixels[i]);
  }
}

void posterize(Picture& picture, int bits) {
  const int mask = ~((1 << (8 - bits)) - 1);
  look_up(picture, table_of([&](int i) { return static_cast<uint8_t>(i & mask); }));
}

void solarize(Picture& picture, double threshold) {
  look_up(picture, table_of([&](int i) { return static_cast<uint8_t>(i < threshold ? i : 255 - i); }));
}

void autocontrast(Picture& picture) {
  const Histograms counts = histograms_of(picture);
  look_up(picture, {stretched(counts[0]), stretched(counts[1]), stretched(counts[2])});
}

void equalize(Picture& picture) {
  const Histograms counts = histograms_of(picture);
  look_up(picture, {evened(counts[0]), evened(counts[1]), evened(counts[2])});
}

void apply_jitter(Picture& picture, const Jitter& jitter) {
  for (const int what : jitter.order) {
    if (what == 0 && jitter.brightness != 1) adjust_brightness(picture, jitter.brightness);
    if (what == 1 && jitter.contrast != 1) adjust_contrast(picture, jitter.contrast);
    if (what == 2 && jitter.saturation != 1) adjust_saturation(picture, jitter.saturation);
    if (what == 3 && jitter.hue != 0) adjust_hue(picture, jitter.hue);
  }
}

}  // namespace engraft::image::augmenting
