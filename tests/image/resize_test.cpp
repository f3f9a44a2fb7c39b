#include "image/resize.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "base/random.h"
#include "image/filter.h"

using namespace engraft;
using image::CropPlan;
using image::Interpolation;
using image::Picture;

namespace {

Picture noise(int width, int height, uint64_t seed) {
  RandomStream random(seed, {1});
  Picture picture(width, height);
  for (uint8_t& value : picture.pixels) value = static_cast<uint8_t>(random.below(256));
  return picture;
}

struct Case {
  Picture picture;
  CropPlan plan;
  Interpolation interpolation;
};

/// Sizes up and down, single pixels, windows at every edge.
Case random_case(uint64_t round) {
  RandomStream random(5, {round});
  const auto side = [&] { return 1 + static_cast<int>(random.below(random.below(4) == 0 ? 4 : 90)); };
  Case c;
  c.picture = noise(side(), side(), round);
  c.plan.resized_width_px = random.below(5) == 0 ? c.picture.width_px : side();
  c.plan.resized_height_px = random.below(5) == 0 ? c.picture.height_px : side();
  c.plan.left_px = static_cast<int>(random.below(static_cast<uint64_t>(c.plan.resized_width_px)));
  c.plan.top_px = static_cast<int>(random.below(static_cast<uint64_t>(c.plan.resized_height_px)));
  c.plan.width_px = 1 + static_cast<int>(random.below(static_cast<uint64_t>(c.plan.resized_width_px - c.plan.left_px)));
  c.plan.height_px =
      1 + static_cast<int>(random.below(static_cast<uint64_t>(c.plan.resized_height_px - c.plan.top_px)));
  c.interpolation = random.below(2) == 0 ? Interpolation::kBilinear : Interpolation::kBicubic;
  return c;
}

Picture window_by(image::filter::Kernel kernel, const Case& c) {
  Picture out(c.plan.width_px, c.plan.height_px);
  image::filter::resize_crop_with(kernel, c.picture, c.plan, c.interpolation, out.pixels.data());
  return out;
}

}  // namespace

TEST_CASE("a window has the bits of the same window of the whole", "[unit]") {
  for (uint64_t round = 0; round < 400; ++round) {
    const Case c = random_case(round);
    const Picture whole = image::resize(c.picture, c.plan.resized_width_px, c.plan.resized_height_px, c.interpolation);
    Picture expected(c.plan.width_px, c.plan.height_px);
    for (int y = 0; y < c.plan.height_px; ++y)
      std::copy_n(whole.row(c.plan.top_px + y) + 3 * c.plan.left_px, expected.stride_bytes(), expected.row(y));
    Picture window(c.plan.width_px, c.plan.height_px);
    image::resize_crop_into(c.picture, c.plan, c.interpolation, window.pixels.data());
    INFO("round " << round);
    CHECK(window.pixels == expected.pixels);
  }
}

TEST_CASE("the kernel of wide vectors has the bits of the portable one", "[unit]") {
  if (image::filter::avx2_kernel() == nullptr) {
    WARN("this processor or compiler has no AVX2: the portable kernel is the only one");
    return;
  }
  for (uint64_t round = 0; round < 600; ++round) {
    const Case c = random_case(round);
    INFO("round " << round);
    CHECK(window_by(image::filter::avx2_kernel(), c).pixels == window_by(image::filter::weigh_portable, c).pixels);
  }
}

TEST_CASE("the same size is the same picture, and one colour stays one colour", "[unit]") {
  const Picture picture = noise(37, 23, 3);
  Picture plain(50, 40);
  std::fill(plain.pixels.begin(), plain.pixels.end(), uint8_t{201});
  for (const Interpolation interpolation : {Interpolation::kBilinear, Interpolation::kBicubic}) {
    CHECK(image::resize(picture, 37, 23, interpolation).pixels == picture.pixels);
    for (const auto& [width, height] : {std::pair(13, 90), std::pair(100, 7), std::pair(1, 1)}) {
      const Picture resized = image::resize(plain, width, height, interpolation);
      CHECK(std::count(resized.pixels.begin(), resized.pixels.end(), 201) ==
            static_cast<std::ptrdiff_t>(resized.pixels.size()));
    }
  }
}

TEST_CASE("weights cover the reduction and sum to one", "[unit]") {
  const image::filter::Weights weights(100, 10, 0, 10, Interpolation::kBilinear);
  for (int i = 0; i < weights.count(); ++i) {
    int64_t sum = 0;
    for (int t = 0; t < weights.taps(i); ++t) sum += weights.weights(i)[t];
    CHECK(std::abs(sum - (1 << 22)) <= weights.taps(i));  // each weight is rounded by itself
    CHECK(weights.taps(i) >= 15);                         // 20 samples, fewer at the edges
  }
}

TEST_CASE("an unknown interpolation is named", "[unit]") {
  CHECK_THROWS_WITH(image::interpolation_of("nearest"), "interpolation: bilinear or bicubic, not 'nearest'");
}
