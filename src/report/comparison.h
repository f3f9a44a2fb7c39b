#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "report/predictions.h"
#include "stats/bootstrap.h"
#include "stats/proportion.h"

namespace engraft::report {

struct ComparisonOptions {
  double confidence = 0.95;
  /// Which differences: of each setting from the "first", of "all" pairs, or of each from the "best". What is best is
  /// known from the same pictures, so its p-values are corrected as those of all pairs.
  std::string pairs = "first";
  /// Runs that differ in their seed alone stand apart instead of being averaged.
  bool each_seed = false;
  /// Columns of the tables whose values (slices) get figures of their own.
  std::vector<std::string> by;
  int64_t resamples = 10000;
  uint64_t seed = 42;
};

/// Runs side by side, as src/store/FORMAT.md has it (`compare --json`). Wilson's interval for a share, by the paired
/// bootstrap's standard error where repetitions are averaged, and for other means the bootstrap's; McNemar's exact test
/// for the difference of two single runs that count right pictures, else the bootstrap's; Holm's correction over all
/// differences. Throws UsageError without runs and for a column of `by` that a run has not; DataError where the runs'
/// metrics differ, or their pictures, labels or contents, naming some that do.
io::Json compare(const std::vector<Predictions>& runs, const ComparisonOptions& options);

/// Where the mean of `values` of pictures, as Predictions has them, may lie: Wilson's interval of shares, of mae the
/// bootstrap's.
stats::Interval interval_of(const std::string& metric, const std::vector<double>& values,
                            const ComparisonOptions& options);

/// Figures of slices alone, as compare() has them below "by" of a run, "worst" and "gap" with them, of `repetitions` (a
/// value a picture each) by the values of each of the named columns. `metric` says whether higher is better.
void add_slices(io::Json& run, const std::string& metric, const stats::Repetitions& repetitions,
                const std::vector<std::pair<std::string, std::vector<std::string>>>& columns,
                const ComparisonOptions& options);

/// What a Gate looks figures up in: of each run by its name, and by its folder's where that is a plain word; of each
/// pair by `b_vs_a`.
io::Json gate_figures(const io::Json& comparison);

/// For a person: the runs, the differences with a verdict each, the slices.
std::string comparison_text(const io::Json& comparison);
/// Tables of the same, a row a run (and slice), a row a pair.
std::string runs_csv(const io::Json& comparison);
std::string pairs_csv(const io::Json& comparison);

/// "95 % interval of top1: 94.0 – 98.9 %\n", of {"confidence", "low", "high"}.
std::string interval_line(const std::string& metric, const io::Json& interval);

/// The slices' part of comparison_text, of one run (as add_slices fills it); empty without slices.
std::string slices_text(const io::Json& run, const std::string& metric);

}  // namespace engraft::report
