#include "train/sampler.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "base/errors.h"

using namespace engraft;

namespace {

/// 80 rows of class 0, 15 of class 2, 5 of class 5.
std::vector<int64_t> uneven_labels() {
  std::vector<int64_t> labels(80, 0);
  labels.insert(labels.end(), 15, 2);
  labels.insert(labels.end(), 5, 5);
  return labels;
}

}  // namespace

TEST_CASE("a balanced epoch has every class equally often, to one row", "[unit]") {
  const std::vector<int64_t> labels = uneven_labels();
  for (int64_t epoch = 1; epoch <= 20; ++epoch) {
    const std::vector<int64_t> order = train::epoch_order({42, 1, epoch}, 100, labels);
    REQUIRE(order.size() == 100);
    std::map<int64_t, int64_t> counts;
    for (const int64_t row : order) ++counts[labels[static_cast<size_t>(row)]];
    REQUIRE(counts.size() == 3);
    for (const auto& [label, count] : counts) CHECK((count == 33 || count == 34));
  }
}

TEST_CASE("over many balanced epochs the rows of a class come equally often, and are spread over the epoch", "[unit]") {
  const std::vector<int64_t> labels = uneven_labels();
  std::vector<double> drawn(100, 0);
  double rare_in_first_half = 0, rare = 0;
  for (int64_t epoch = 1; epoch <= 300; ++epoch) {
    const std::vector<int64_t> order = train::epoch_order({7, 1, epoch}, 100, labels);
    for (size_t i = 0; i < order.size(); ++i) {
      const auto row = static_cast<size_t>(order[i]);
      ++drawn[row];
      if (labels[row] != 5) continue;
      ++rare;
      if (i < 50) ++rare_in_first_half;
    }
  }
  // 10,000 draws of a class: 2,000 for each of 5 rows, with a standard deviation of 40; 125 of 80 with one of 11.
  for (size_t row = 95; row < 100; ++row) CHECK(drawn[row] == Approx(2000).margin(200));
  for (size_t row = 0; row < 80; ++row) CHECK(drawn[row] == Approx(125).margin(60));
  CHECK(rare_in_first_half / rare == Approx(0.5).margin(0.025));  // five standard deviations
}

TEST_CASE("an order depends on seed, stage and epoch alone", "[unit]") {
  for (const std::vector<int64_t>& labels : {std::vector<int64_t>(), uneven_labels()}) {
    const auto first = train::epoch_order({1, 2, 3}, 100, labels);
    CHECK(first == train::epoch_order({1, 2, 3}, 100, labels));
    CHECK(first != train::epoch_order({2, 2, 3}, 100, labels));
    CHECK(first != train::epoch_order({1, 3, 3}, 100, labels));
    CHECK(first != train::epoch_order({1, 2, 4}, 100, labels));
  }
}

TEST_CASE("labels that are not those of the rows are refused", "[unit]") {
  CHECK_THROWS_AS(train::epoch_order({}, 3, {0, 1}), UsageError);
  CHECK_THROWS_AS(train::epoch_order({}, 2, {0, -1}), UsageError);
}
