#include "train/ridge.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
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

TEST_CASE("rows left out are told as by a regression that never saw them", "[unit]") {
  for (const int64_t dims : {5, 80}) {  // fewer and more than rows
    for (const int64_t folds : {0, 5}) {
      const Clouds known = clouds(12, dims, 1.5, 7);
      const train::Ridge ridge(known.rows, known.labels, folds, /*seed=*/3);
      const int64_t rows = known.rows.size(0);
      // Which rows are left out together is the class's own matter; where each is by itself it is known.
      if (folds > 0) {
        const int64_t right = count_equal(ridge.left_out_classes(), known.labels);
        CHECK(std::abs(right - count_equal(train::Ridge(known.rows, known.labels).left_out_classes(), known.labels)) <=
              5);
        continue;
      }
      const at::Tensor targets =
          at::full({rows, 3}, -1.0, at::kDouble).scatter_(1, at::tensor(known.labels).unsqueeze(1), 1.0);
      for (int64_t out = 0; out < rows; ++out) {
        const at::Tensor rest = at::arange(rows).masked_select(at::arange(rows).ne(out));
        const at::Tensor x = known.rows.to(at::kDouble).index_select(0, rest), y = targets.index_select(0, rest);
        const at::Tensor center = x.mean(0), mean = y.mean(0), centred = x - center;
        const at::Tensor gram = centred.t().matmul(centred) + ridge.penalty() * at::eye(dims, at::kDouble);
        const at::Tensor weights = at::linalg_solve(gram, centred.t().matmul(y - mean));
        const at::Tensor told = (known.rows[out].to(at::kDouble) - center).matmul(weights) + mean;
        CHECK(told.argmax().item<int64_t>() == ridge.left_out_classes()[static_cast<size_t>(out)]);
      }
    }
  }
}

TEST_CASE("as many folds as rows leave out each row by itself", "[unit]") {
  for (const int64_t dims : {5, 80}) {
    const Clouds known = clouds(12, dims, 1.5, 8);
    const train::Ridge single(known.rows, known.labels), folds(known.rows, known.labels, known.rows.size(0));
    CHECK(single.penalty() == Approx(folds.penalty()));
    CHECK(single.left_out_classes() == folds.left_out_classes());
  }
  const Clouds few = clouds(1, 2, 1, 9);
  CHECK_THROWS_AS(train::Ridge(few.rows, few.labels, 1), std::invalid_argument);
  CHECK_THROWS_AS(train::Ridge(few.rows, few.labels, 4), std::invalid_argument);
}

TEST_CASE("ridge regression does not mind where the rows lie, nor one class alone", "[unit]") {
  const Clouds known = clouds(15, 8, 0.5, 5), asked = clouds(15, 8, 0.5, 6);
  const auto told = train::ridge_classes(known.rows, known.labels, asked.rows);
  CHECK(train::ridge_classes(known.rows + 1000, known.labels, asked.rows + 1000) == told);
  CHECK(train::ridge_classes(at::randn({3, 2}), {1, 1, 1}, at::randn({2, 2})) == std::vector<int64_t>{1, 1});
  CHECK_THROWS_AS(train::ridge_classes(at::randn({3, 2}), {1, 1}, at::randn({2, 2})), std::invalid_argument);
}
