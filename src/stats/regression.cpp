#include "stats/regression.h"

#include <algorithm>
#include <cmath>

namespace engraft::stats {

TargetScale scale_of(const std::vector<double>& values) {
  if (values.empty()) return {0, 0};
  // All the same: their rounded mean may be another number, and the deviation from it no 0.
  if (std::equal(values.begin() + 1, values.end(), values.begin())) return {values.front(), 0};
  const auto count = static_cast<double>(values.size());
  double mean = 0;
  for (const double value : values) mean += value / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) / count * (value - mean);
  return {mean, std::sqrt(squares)};
}

Regression judge_numbers(const std::vector<float>& predicted, const std::vector<double>& values) {
  Regression out;
  out.rows = static_cast<int64_t>(values.size());
  if (out.rows == 0) return out;
  const auto count = static_cast<double>(out.rows);
  double squares = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = static_cast<double>(predicted[i]) - values[i];
    out.mean_absolute_error += std::abs(error) / count;
    squares += error / count * error;
  }
  out.root_mean_squared_error = std::sqrt(squares);
  const double std = scale_of(values).std;
  if (std > 0) out.r2 = 1 - squares / (std * std);
  return out;
}

}  // namespace engraft::stats
