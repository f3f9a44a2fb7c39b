#include "stats/classification.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace engraft;

TEST_CASE("scores are the softmax, and the sigmoid of a single logit", "[unit]") {
  const float two[] = {0.0f, std::log(3.0f)};
  CHECK(stats::scores_of(two, 2)[1] == Approx(0.75));
  const float one[] = {std::log(3.0f)};
  CHECK(stats::scores_of(one, 1)[0] == Approx(0.25));
  CHECK(stats::scores_of(one, 1)[1] == Approx(0.75));
  const float huge[] = {1000.0f, -1000.0f};
  CHECK(stats::scores_of(huge, 2)[0] == 1.0);
  const float far[] = {-800.0f};
  CHECK(stats::scores_of(far, 1)[0] == 1.0);
}

TEST_CASE("ranks go by score, ties by index", "[unit]") {
  CHECK(stats::ranked({0.2, 0.5, 0.2, 0.1}, 3) == std::vector<int64_t>{1, 0, 2});
  CHECK(stats::ranked({0.5, 0.5}, 9) == std::vector<int64_t>{0, 1});
}

TEST_CASE("top1, loss and confusion of a small case by hand", "[unit]") {
  // Softmax of {0, ln 3}: {1/4, 3/4}; rows: right, right, wrong.
  const float ln3 = std::log(3.0f);
  const auto judged = stats::classify({0, ln3, ln3, 0, 0, ln3}, 2, {1, 0, 0});
  CHECK(judged.rows == 3);
  CHECK(judged.top1 == Approx(2.0 / 3));
  CHECK(judged.loss == Approx((2 * -std::log(0.75) - std::log(0.25)) / 3));
  CHECK(judged.confusion == std::vector<std::vector<int64_t>>{{1, 1}, {0, 1}});
  CHECK_FALSE(judged.top5);
}

TEST_CASE("one logit gives binary cross-entropy, also far out", "[unit]") {
  const auto judged = stats::classify({-2.0f, 3.0f, 900.0f}, 1, {0, 1, 0});
  CHECK(judged.top1 == Approx(2.0 / 3));
  CHECK(judged.loss == Approx((std::log1p(std::exp(-2.0)) + std::log1p(std::exp(-3.0)) + 900.0) / 3));
}

TEST_CASE("top5 appears with five classes", "[unit]") {
  const auto judged = stats::classify({5, 4, 3, 2, 1, 0, 5, 4, 3, 2, 1, 0}, 6, {4, 5});
  CHECK(judged.top1 == 0);
  REQUIRE(judged.top5);
  CHECK(*judged.top5 == 0.5);
}

TEST_CASE("no rows give zeros, not a division by zero", "[unit]") { CHECK(stats::classify({}, 3, {}).top1 == 0); }
