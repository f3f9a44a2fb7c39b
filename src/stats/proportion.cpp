#include "stats/proportion.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>

namespace engraft::stats {

namespace {

Interval wilson_of(double share, double n, double confidence) {
  const double z = boost::math::quantile(boost::math::normal(), 0.5 + confidence / 2);
  const double shrink = 1 + z * z / n;
  const double middle = (share + z * z / (2 * n)) / shrink;
  const double half = z / shrink * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {share == 0 ? 0 : middle - half, share == 1 ? 1 : middle + half};
}

}  // namespace

Interval wilson(int64_t right, int64_t rows, double confidence) {
  if (rows == 0) return {0, 1};
  return wilson_of(static_cast<double>(right) / static_cast<double>(rows), static_cast<double>(rows), confidence);
}

Interval wilson_by_error(double share, int64_t rows, double error, double confidence) {
  if (rows == 0) return {0, 1};
  const auto most = static_cast<double>(rows);
  const double effective = error > 0 ? share * (1 - share) / (error * error) : most;
  return wilson_of(share, std::clamp(effective, 1.0, most), confidence);
}

double mcnemar(int64_t first_alone, int64_t second_alone) {
  const int64_t alone = first_alone + second_alone;
  if (alone == 0) return 1;
  const boost::math::binomial split(static_cast<double>(alone), 0.5);
  return std::min(1.0, 2 * boost::math::cdf(split, static_cast<double>(std::min(first_alone, second_alone))));
}

}  // namespace engraft::stats
