#include "finetune/views.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <set>

#include "finetune/mixing.h"

using namespace engraft;

namespace {

finetune::Views three_views() {
  finetune::Views views;
  views.count = 3;
  views.augmentation = image::parse_augmentation("flip");
  views.seed = 5;
  views.listing_rows = 100;
  return views;
}

}  // namespace

TEST_CASE("K epochs show every view of a row once, and rows are not in step", "[unit]") {
  const finetune::Views views = three_views();
  std::set<int64_t> first_views;
  for (int64_t row = 0; row < 100; ++row) {
    std::set<int64_t> seen;
    for (int64_t epoch = 4; epoch < 7; ++epoch) seen.insert(views.view_in(row, epoch));
    CHECK(seen == std::set<int64_t>{0, 1, 2});
    CHECK(views.view_in(row, 1) == views.view_in(row, 4));
    first_views.insert(views.view_in(row, 1));
  }
  CHECK(first_views.size() == 3);
}

TEST_CASE("an item says row and view; without augmentation it is the row", "[unit]") {
  const finetune::Views views = three_views();
  CHECK(views.items_of({7, 9}) == std::vector<int64_t>{107, 207, 307, 109, 209, 309});
  for (const int64_t item : {7, 107, 207, 307}) CHECK(views.row_of(item) == 7);
  finetune::Views plain;
  plain.listing_rows = 100;
  CHECK(plain.items_of({7, 9}) == std::vector<int64_t>{7, 9});
  CHECK(finetune::Views().row_of(7) == 7);
}

TEST_CASE("the random numbers of an item depend on seed, view and row", "[unit]") {
  const finetune::Views views = three_views();
  CHECK(views.stream(107).next_u64() == views.stream(107).next_u64());
  std::set<uint64_t> draws;
  for (int64_t item = 100; item < 400; ++item) draws.insert(views.stream(item).next_u64());
  CHECK(draws.size() == 300);
  finetune::Views other = views;
  other.seed = 6;
  CHECK(other.stream(107).next_u64() != views.stream(107).next_u64());
}

TEST_CASE("the share of mixed pictures is drawn from a Beta distribution", "[unit]") {
  // Of Beta(a, a): mean 1/2, variance 1/(4 (2a + 1)); 20,000 draws, bounds of five standard errors.
  for (const double alpha : {0.2, 1.0, 4.0}) {
    INFO(alpha);
    RandomStream stream(3, {static_cast<uint64_t>(alpha * 10)});
    double sum = 0, squares = 0;
    constexpr int kDraws = 20000;
    for (int i = 0; i < kDraws; ++i) {
      const double draw = finetune::draw_beta(alpha, stream);
      REQUIRE((draw >= 0 && draw <= 1));
      sum += draw;
      squares += (draw - 0.5) * (draw - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(sum / kDraws - 0.5) < 5 * std::sqrt(variance / kDraws));
    CHECK(squares / kDraws == Approx(variance).epsilon(0.05));
  }
}

TEST_CASE("an alpha without end draws a half, and one below every other ends", "[unit]") {
  RandomStream stream(5, {3});
  for (const double alpha :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN(), 1e300, 1e16, -1.0}) {
    CHECK(finetune::draw_beta(alpha, stream) == 0.5);
  }
  for (const double alpha : {1e14, 1e6}) CHECK(finetune::draw_beta(alpha, stream) == Approx(0.5).margin(0.01));
  const double draw = finetune::draw_beta(1e-300, stream);
  CHECK((draw >= 0 && draw <= 1));
}

TEST_CASE("mixup blends and cutmix pastes the picture before, and the share says how much is left", "[unit]") {
  constexpr int64_t kSize = 20, kBytes = kSize * kSize * 3;
  const auto pictures = [] {
    std::vector<uint8_t> pixels;
    for (const uint8_t grey : {0, 100, 200}) pixels.insert(pixels.end(), kBytes, grey);
    return pixels;
  };
  bool box_seen = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    RandomStream for_mixup(seed, {1}), for_cutmix(seed, {2});
    std::vector<uint8_t> pixels = pictures();
    const double share = finetune::mix_pictures(pixels.data(), 3, kSize, {1.0, 0}, for_mixup);
    CHECK(pixels[0] == std::lround((1 - share) * 200));
    CHECK(pixels[kBytes] == std::lround(share * 100));
    CHECK(pixels[3 * kBytes - 1] == std::lround(share * 200 + (1 - share) * 100));

    pixels = pictures();
    const double left = finetune::mix_pictures(pixels.data(), 3, kSize, {0, 1.0}, for_cutmix);
    const auto kept = std::count(pixels.begin() + kBytes, pixels.begin() + 2 * kBytes, uint8_t{100});
    const auto pasted = std::count(pixels.begin() + kBytes, pixels.begin() + 2 * kBytes, uint8_t{0});
    CHECK(kept + pasted == kBytes);
    CHECK(static_cast<double>(kept) / kBytes == Approx(left));
    box_seen = box_seen || (kept > 0 && pasted > 0);
  }
  CHECK(box_seen);
}
