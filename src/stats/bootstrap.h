#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "stats/proportion.h"

namespace engraft::stats {

/// Repetitions of one setting, such as trainings that differ in their seed: for each, a value a row.
using Repetitions = std::vector<std::vector<double>>;

struct BootstrapOptions {
  int64_t resamples = 10000;
  double confidence = 0.95;
  uint64_t seed = 42;
};

/// Of a difference of means.
struct Difference {
  double value = 0;
  Interval interval;
  /// Two-sided: twice the lesser share of resamples in which the difference is at most, or at least, 0, each counted
  /// with one more, Davison and Hinkley (1997), and at most 1. Where fewer than ten resamples are in that share, which
  /// then says little more than that it is small, the normal approximation with the resamples' standard error instead
  /// (Efron and Tibshirani 1993, chapter 13), if that is less. Never below 2^(1 - m) for m rows in which the two
  /// differ: the least that their signs can show.
  double p = 1;
};

/// How much the means of several settings over the same rows would differ on other rows of the same kind, and with
/// other repetitions: each resample draws the rows anew with replacement, the same for all settings, so that what they
/// have in common goes out (a paired bootstrap), and of each setting as many repetitions as it has, with replacement.
/// Intervals are the percentiles of what the resamples give, linear between them, as SciPy's bootstrap(paired=True,
/// method="percentile") has them. With few repetitions those of the settings' spread are too narrow, by the factor
/// sqrt((n - 1) / n). A pure function of values and options.
class PairedBootstrap {
 public:
  /// Throws Stopped, and std::invalid_argument without rows, for a setting without repetitions, and for different
  /// numbers of rows.
  PairedBootstrap(const std::vector<Repetitions>& settings, const BootstrapOptions& options);

  /// The mean over rows and repetitions.
  double mean(size_t setting) const { return means_[setting]; }
  /// Of the mean.
  Interval interval(size_t setting) const;
  /// Its standard error.
  double error(size_t setting) const;
  /// Of `first`'s mean less `second`'s.
  Difference difference(size_t first, size_t second) const;

 private:
  BootstrapOptions options_;
  int differing_rows(size_t first, size_t second) const;

  std::vector<double> means_;
  std::vector<std::vector<double>> row_sums_;  // of each setting, over its repetitions
  std::vector<double> repetitions_;
  std::vector<std::vector<double>> resampled_;  // of each setting, the mean in each resample
};

}  // namespace engraft::stats
