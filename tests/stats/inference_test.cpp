#include <catch2/catch.hpp>
#include <numeric>
#include <stdexcept>

#include "inference_goldens.h"
#include "stats/bootstrap.h"
#include "stats/holm.h"
#include "stats/proportion.h"

using namespace engraft;

namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

TEST_CASE("Wilson's interval is that of statsmodels", "[unit]") {
  for (size_t i = 0; i < goldens::kRightOfRows.size(); i += 2) {
    const auto right = static_cast<int64_t>(goldens::kRightOfRows[i]);
    const auto rows = static_cast<int64_t>(goldens::kRightOfRows[i + 1]);
    INFO(right << " of " << rows);
    const stats::Interval wide = stats::wilson(right, rows, 0.95), narrow = stats::wilson(right, rows, 0.8);
    CHECK(wide.low == Approx(goldens::kWilson95[i]).margin(1e-15));
    CHECK(wide.high == Approx(goldens::kWilson95[i + 1]));
    CHECK(narrow.low == Approx(goldens::kWilson80[i]).margin(1e-15));
    CHECK(narrow.high == Approx(goldens::kWilson80[i + 1]));
  }
  CHECK(stats::wilson(0, 0, 0.95).low == 0);
  CHECK(stats::wilson(0, 0, 0.95).high == 1);
}

TEST_CASE("McNemar's exact test is that of statsmodels", "[unit]") {
  for (size_t i = 0; i < goldens::kAlone.size(); i += 2) {
    const auto first = static_cast<int64_t>(goldens::kAlone[i]), second = static_cast<int64_t>(goldens::kAlone[i + 1]);
    INFO(first << " and " << second);
    CHECK(stats::mcnemar(first, second) == Approx(goldens::kMcNemar[i / 2]));
    CHECK(stats::mcnemar(second, first) == stats::mcnemar(first, second));
  }
}

TEST_CASE("Holm's correction is that of statsmodels", "[unit]") {
  for (size_t i = 0; i < goldens::kPValues.size(); ++i) {
    const std::vector<double> adjusted = stats::holm(goldens::kPValues[i]);
    REQUIRE(adjusted.size() == goldens::kHolm[i].size());
    for (size_t k = 0; k < adjusted.size(); ++k) CHECK(adjusted[k] == Approx(goldens::kHolm[i][k]));
  }
  CHECK(stats::holm({}).empty());
}

TEST_CASE("the paired bootstrap's percentiles are SciPy's, as far as resamples agree", "[unit]") {
  struct Case {
    const std::vector<double>&first, &second, &golden;
  };
  for (const Case& c : {Case{goldens::kFirstRight, goldens::kSecondRight, goldens::kRightDifference},
                        Case{goldens::kFirstErrors, goldens::kSecondErrors, goldens::kErrorDifference}}) {
    stats::BootstrapOptions options;
    options.resamples = 40000;
    const stats::PairedBootstrap bootstrap({{c.first}, {c.second}}, options);
    const stats::Difference difference = bootstrap.difference(0, 1);
    CHECK(difference.value == Approx(c.golden[0]));
    CHECK(bootstrap.mean(0) == Approx(mean(c.first)));
    // A percentile of 40,000 resamples has a standard error of 0.0135 deviations, which are a quarter of the interval's
    // width; four of them, and a step of 1/120 between the values that shares can take.
    const double width = c.golden[2] - c.golden[1], most = 4 * 0.0135 * width / 4 + 1.0 / 120;
    CHECK(difference.interval.low == Approx(c.golden[1]).margin(most));
    CHECK(difference.interval.high == Approx(c.golden[2]).margin(most));
  }
}

TEST_CASE("a bootstrap's difference has a sign, a small p where it is clear and a large one where it is not",
          "[unit]") {
  const std::vector<double>&first = goldens::kFirstErrors, &second = goldens::kSecondErrors;
  const stats::PairedBootstrap bootstrap({{first}, {second}, {first}}, {});
  CHECK(bootstrap.difference(0, 1).p < 0.001);
  CHECK(bootstrap.difference(0, 1).value == -bootstrap.difference(1, 0).value);
  CHECK(bootstrap.difference(0, 1).interval.low == -bootstrap.difference(1, 0).interval.high);
  CHECK(bootstrap.difference(0, 2).value == 0);
  CHECK(bootstrap.difference(0, 2).p == 1);
  CHECK(bootstrap.difference(0, 2).interval.low == 0);
}

TEST_CASE("repetitions that differ among themselves widen the interval", "[unit]") {
  const std::vector<double>& values = goldens::kSecondRight;
  std::vector<double> better = values, worse = values;
  for (size_t i = 0; i < values.size(); i += 4) better[i] = 1, worse[i] = 0;
  const stats::PairedBootstrap bootstrap({{values, values}, {better, worse}}, {});
  const auto width = [&](size_t setting) { return bootstrap.interval(setting).high - bootstrap.interval(setting).low; };
  CHECK(bootstrap.mean(1) == Approx((mean(better) + mean(worse)) / 2));
  CHECK(width(1) > 1.3 * width(0));
}

TEST_CASE("a bootstrap's p goes on below what its resamples can show, but not below what the rows can", "[unit]") {
  std::vector<double> first, second;
  for (int i = 0; i < 400; ++i) {
    first.push_back(i % 10 < 9 ? 1 : 0);
    second.push_back(i % 10 < 7 ? 1 : 0);
  }
  const stats::Difference clear = stats::PairedBootstrap({{first}, {second}}, {}).difference(0, 1);
  // 80 of 400 rows differ, all to one side: standard error sqrt(0.2 · 0.8 / 400) = 0.02, so z = 10.
  CHECK(std::log10(clear.p) == Approx(std::log10(1.5e-23)).epsilon(0.04));
  const stats::Difference few = stats::PairedBootstrap({{{1, 1, 1, 1, 1}}, {{0, 0, 0, 0, 0}}}, {}).difference(0, 1);
  CHECK(few.p == 1.0 / 16);
  const stats::Difference five =
      stats::PairedBootstrap({{{9, 8, 9, 9, 8}}, {{0, 0, 0, 0, 0}}}, {100, 0.95, 1}).difference(0, 1);
  CHECK(five.p == 1.0 / 16);
  // Rows that all repetitions have right do not differ, however many repetitions there are.
  std::vector<double> right(300, 1.0), wrong = right;
  for (size_t i = 0; i < 4; ++i) wrong[i] = 0;
  for (const size_t repetitions : {3, 6, 7, 10}) {
    const stats::Repetitions three(3, right), many(repetitions, wrong);
    CHECK(stats::PairedBootstrap({three, many}, {1000, 0.95, 1}).difference(0, 1).p >= 1.0 / 8);
  }
}

TEST_CASE("a share with an error of its own has Wilson's interval of as many rows as give that error", "[unit]") {
  const stats::Interval plain = stats::wilson(75, 100, 0.95);
  const stats::Interval same = stats::wilson_by_error(0.75, 100, std::sqrt(0.75 * 0.25 / 100), 0.95);
  CHECK(same.low == Approx(plain.low));
  CHECK(same.high == Approx(plain.high));
  const stats::Interval twice = stats::wilson_by_error(0.8, 100, 2 * std::sqrt(0.8 * 0.2 / 100), 0.95);
  CHECK(twice.low == Approx(stats::wilson(20, 25, 0.95).low));
  CHECK(twice.high == Approx(stats::wilson(20, 25, 0.95).high));
  // No narrower than its rows allow, and never a point.
  CHECK(stats::wilson_by_error(0.75, 100, 1e-9, 0.95).low == Approx(plain.low));
  CHECK(stats::wilson_by_error(1, 20, 0, 0.95).low == stats::wilson(20, 20, 0.95).low);
  CHECK(stats::wilson_by_error(0, 20, 0, 0.95).high == stats::wilson(0, 20, 0.95).high);
  CHECK(stats::wilson_by_error(0.5, 0, 0, 0.95).high == 1);
}

TEST_CASE("a bootstrap refuses what it cannot draw from", "[unit]") {
  CHECK_THROWS_AS(stats::PairedBootstrap({{}}, {}), std::invalid_argument);
  CHECK_THROWS_AS(stats::PairedBootstrap({{{}}}, {}), std::invalid_argument);
  CHECK_THROWS_AS(stats::PairedBootstrap({{{1, 0}}, {{1}}}, {}), std::invalid_argument);
}
