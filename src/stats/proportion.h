#pragma once

#include <cstdint>

namespace engraft::stats {

struct Interval {
  double low = 0, high = 0;
};

/// What share of a population is right where `right` of `rows` drawn from it are, at `confidence` (in (0, 1), such as
/// 0.95). Wilson, "Probable inference, the law of succession, and statistical inference" (1927); statsmodels has it as
/// proportion_confint(method="wilson"). [0, 1] without rows.
Interval wilson(int64_t right, int64_t rows, double confidence);

/// The same for a share that was found with a standard error of its own, such as the mean of several repetitions on the
/// same rows: by the effective number of rows, share · (1 - share) / error², at most `rows` and at least 1 (Korn and
/// Graubard 1998 for Clopper and Pearson's). `rows` itself where the error is 0, as where all repetitions are right
/// everywhere: a share that does not vary is not known for sure.
Interval wilson_by_error(double share, int64_t rows, double error, double confidence);

/// McNemar's exact test of two models on the same rows: `first_alone` and `second_alone` rows are right by one of them
/// only. The two-sided probability of a split as uneven as this, or more, where each is as likely as the other: that of
/// the binomial distribution, doubled, at most 1, as statsmodels' mcnemar(exact=True) has it. 1 where they agree
/// everywhere.
double mcnemar(int64_t first_alone, int64_t second_alone);

}  // namespace engraft::stats
