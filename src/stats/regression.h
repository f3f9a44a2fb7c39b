#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/target.h"

namespace engraft::stats {

/// How near predicted numbers come, in the units of the numbers.
struct Regression {
  int64_t rows = 0;
  double mean_absolute_error = 0;
  double root_mean_squared_error = 0;
  /// 1 - Σ error² / Σ (value - mean)², as scikit-learn's r2_score; nothing where the values are all the same.
  std::optional<double> r2;
};

/// `predicted` and `values` [N]. No rows: everything is 0.
Regression judge_numbers(const std::vector<float>& predicted, const std::vector<double>& values);

/// Mean and standard deviation (of the values themselves: over N, not N - 1) of `values`. No values: both are 0.
TargetScale scale_of(const std::vector<double>& values);

}  // namespace engraft::stats
