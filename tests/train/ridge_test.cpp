#include "train/ridge.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <stdexcept>

using namespace engraft;

namespace {

struct Clouds {
  at::Tensor rows;
  std::vector<int64_t> labels;
};

/// `count` rows around each of three centres, `spread` wide, in `dims` dimensions.
Clouds clouds(int64_t count, int64_t dims, double spread, uint64_t seed) {
  at::manual_seed(1);
  const at::Tensor centers = at::randn({3, dims});
  at::manual_seed(seed);
  Clouds made{at::empty({3 * count, dims}), {}};
  for (int64_t i = 0; i < 3 * count; ++i) {
    made.rows[i] = centers[i % 3] + spread * at::randn({dims});
    made.labels.push_back(i % 3);
  }
  return made;
}

int64_t count_equal(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  int64_t equal = 0;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i] ? 1 : 0;
  return equal;
}

}  // namespace

TEST_CASE("ridge regression tells clouds apart, with more rows than dimensions and with fewer", "[unit]") {
  for (const int64_t dims : {4, 400}) {
    const Clouds known = clouds(20, dims, 0.3, 2), asked = clouds(20, dims, 0.3, 3);
    CHECK(count_equal(train::ridge_classes(known.rows, known.labels, asked.rows), asked.labels) >= 54);
  }
}

TEST_CASE("ridge regression chooses a penalty that keeps noise out", "[unit]") {
  // Of 300 dimensions two matter; without a penalty 60 rows are told by heart and others by chance.
  at::manual_seed(4);
  const auto draw = [](int64_t count, std::vector<int64_t>& labels) {
    at::Tensor rows = at::randn({count, 300});
    for (int64_t i = 0; i < count; ++i) {
      labels.push_back(i % 2);
      rows[i].narrow(0, 0, 2).add_(i % 2 == 0 ? 3 : -3);
    }
    return rows;
  };
  std::vector<int64_t> known, asked;
  const at::Tensor rows = draw(60, known), others = draw(200, asked);
  CHECK(count_equal(train::ridge_classes(rows, known, others), asked) >= 190);
}

TEST_CASE("ridge regression does not mind where the rows lie, nor one class alone", "[unit]") {
  const Clouds known = clouds(15, 8, 0.5, 5), asked = clouds(15, 8, 0.5, 6);
  const auto told = train::ridge_classes(known.rows, known.labels, asked.rows);
  CHECK(train::ridge_classes(known.rows + 1000, known.labels, asked.rows + 1000) == told);
  CHECK(train::ridge_classes(at::randn({3, 2}), {1, 1, 1}, at::randn({2, 2})) == std::vector<int64_t>{1, 1});
  CHECK_THROWS_AS(train::ridge_classes(at::randn({3, 2}), {1, 1}, at::randn({2, 2})), std::invalid_argument);
}
