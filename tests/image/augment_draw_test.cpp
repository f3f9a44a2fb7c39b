#include <catch2/catch.hpp>
#include <set>

#include "image/augment_view.h"

using namespace engraft;
using image::Trivial;
using image::TrivialOperation;
using image::View;

namespace {

View drawn(const std::string& list, uint64_t key, int width_px = 400, int height_px = 300) {
  RandomStream stream(77, {key});
  return image::draw_view(image::parse_augmentation(list), width_px, height_px, 150, stream);
}

/// What many draws of a number come to.
struct Range {
  double least = 1e300;
  double most = -1e300;
  double sum = 0;
  int count = 0;

  void add(double x) {
    least = std::min(least, x);
    most = std::max(most, x);
    sum += x;
    ++count;
  }
  double mean() const { return sum / count; }
};

/// Draws of a uniform number fill [least, most]. With 4000 of them the outer 1 % stays empty once in e^40 tries, and
/// 2 % of the range is 4.4 standard deviations of the mean.
void check_uniform(const Range& range, double least, double most) {
  const double width = most - least;
  CHECK(range.count == 4000);
  CHECK(range.least >= least);
  CHECK(range.least < least + 0.01 * width);
  CHECK(range.most <= most);
  CHECK(range.most > most - 0.01 * width);
  CHECK(std::abs(range.mean() - (least + most) / 2) < 0.02 * width);
}

}  // namespace

TEST_CASE("warps and jitters are drawn evenly from their ranges", "[unit]") {
  Range rotate, down, right, shear, zoom_rows, zoom_columns, brightness, contrast, saturation, hue, first;
  int flips = 0;
  for (uint64_t key = 0; key < 4000; ++key) {
    const View view = drawn("practicum,jitter=0.4:1.5:0.2:0.1", key);
    rotate.add(view.warp->rotate_deg);
    down.add(view.warp->down);
    right.add(view.warp->right);
    shear.add(view.warp->shear_deg);
    zoom_rows.add(view.warp->zoom_rows);
    zoom_columns.add(view.warp->zoom_columns);
    flips += view.mirrored;
    brightness.add(view.jitter->brightness);
    contrast.add(view.jitter->contrast);
    saturation.add(view.jitter->saturation);
    hue.add(view.jitter->hue);
    first.add(view.jitter->order[0]);
    CHECK_FALSE(view.crop);
    CHECK_FALSE(view.trivial);
    CHECK_FALSE(view.erased);
  }
  check_uniform(rotate, -40, 40);
  check_uniform(down, -0.2, 0.2);
  check_uniform(right, -0.2, 0.2);
  check_uniform(shear, -0.2, 0.2);
  check_uniform(zoom_rows, 0.8, 1.2);
  check_uniform(zoom_columns, 0.8, 1.2);
  check_uniform(brightness, 0.6, 1.4);
  check_uniform(contrast, 0, 2.5);
  check_uniform(saturation, 0.8, 1.2);
  check_uniform(hue, -0.1, 0.1);
  CHECK(first.mean() == Approx(1.5).margin(0.08));  // 4.5 standard deviations
  CHECK(flips == Approx(2000).margin(140));         // 4.4 standard deviations
}

TEST_CASE("crops lie inside with the shares and ratios asked for", "[unit]") {
  Range share;
  for (uint64_t key = 0; key < 4000; ++key) {
    const image::Box box = drawn("crop", key, 400, 300).crop.value();
    CHECK(box.left_px >= 0);
    CHECK(box.top_px >= 0);
    CHECK(box.left_px + box.width_px <= 400);
    CHECK(box.top_px + box.height_px <= 300);
    const double ratio = static_cast<double>(box.width_px) / box.height_px;
    CHECK(ratio > 0.75 * 0.98);  // sides are rounded: the least side is about 70 pixels
    CHECK(ratio < 4.0 / 3 * 1.02);
    share.add(box.width_px * box.height_px / 120000.0);
  }
  CHECK(share.least > 0.078);
  CHECK(share.least < 0.09);
  CHECK(share.most > 0.9);
  CHECK(drawn("crop", 1, 1000, 10).crop.value() == image::Box{493, 0, 13, 10});  // none fits: 4/3 in the middle
  CHECK(drawn("crop", 1, 10, 1000).crop.value() == image::Box{0, 493, 10, 13});
  CHECK(drawn("crop", 1, 1, 1).crop.value() == image::Box{0, 0, 1, 1});
}

TEST_CASE("erasing happens as often as asked for and within a third", "[unit]") {
  int erased = 0;
  Range share;
  for (uint64_t key = 0; key < 4000; ++key) {
    const std::optional<image::Box> box = drawn("erase", key).erased;
    if (!box) continue;
    ++erased;
    CHECK(box->left_px >= 0);
    CHECK(box->top_px >= 0);
    CHECK(box->left_px + box->width_px <= 150);
    CHECK(box->top_px + box->height_px <= 150);
    share.add(box->width_px * box->height_px / 22500.0);
  }
  CHECK(erased == Approx(1000).margin(125));  // 4.5 standard deviations
  CHECK(share.least > 0.017);                 // 0.02 less the rounding of sides of 21 pixels
  CHECK(share.most < 0.34);
  CHECK(share.most > 0.31);
}

TEST_CASE("all operations of TrivialAugment are drawn with magnitudes of their own", "[unit]") {
  std::vector<int> count(image::kTrivialOperations, 0);
  std::vector<std::set<double>> magnitudes(image::kTrivialOperations);
  for (uint64_t key = 0; key < 14000; ++key) {
    const Trivial trivial = drawn("trivial", key).trivial.value();
    const auto i = static_cast<size_t>(trivial.operation);
    ++count[i];
    magnitudes[i].insert(trivial.magnitude);
  }
  for (const int n : count) CHECK(n == Approx(1000).margin(150));  // 4.9 standard deviations
  const auto of = [&](TrivialOperation operation) { return magnitudes[static_cast<size_t>(operation)]; };
  CHECK(of(TrivialOperation::kEqualize) == std::set<double>{0});
  CHECK(of(TrivialOperation::kPosterize) == std::set<double>{2, 3, 4, 5, 6, 7, 8});
  CHECK(of(TrivialOperation::kSolarize).size() == 31);
  CHECK(*of(TrivialOperation::kSolarize).begin() == 0);
  CHECK(*of(TrivialOperation::kSolarize).rbegin() == 255);
  CHECK(of(TrivialOperation::kRotate).size() == 61);  // 30 of each sign and nothing
  CHECK(*of(TrivialOperation::kRotate).begin() == -135);
  CHECK(*of(TrivialOperation::kTranslateX).rbegin() == 32);
  CHECK(*of(TrivialOperation::kSharpness).rbegin() == 0.99);
}
