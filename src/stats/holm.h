#pragma once

#include <vector>

namespace engraft::stats {

/// Each of several p-values as it must be read where all are looked at together: those of at most 0.05 hold, all of
/// them, with 95 % confidence. The k-th least of m is multiplied by m - k + 1, is no less than the one before it and at
/// most 1. Holm, "A simple sequentially rejective multiple test procedure" (1979); statsmodels has it as
/// multipletests(method="holm").
std::vector<double> holm(const std::vector<double>& p_values);

}  // namespace engraft::stats
