#pragma once

#include <cstdint>
#include <vector>

namespace engraft::train {

/// What an epoch's order is drawn from.
struct EpochKey {
  uint64_t seed = 42;
  int64_t stage = 1;
  int64_t epoch = 1;
};

/// Row indices of an epoch, as many as `rows`: a permutation; or with `balance_by`, the label of each row, a draw with
/// replacement in which each class that has rows comes equally often (to one row, where they do not divide evenly) and
/// its rows are equally likely. A pure function of its arguments.
/// Throws UsageError if `balance_by` has neither no nor `rows` labels, or one below 0.
std::vector<int64_t> epoch_order(const EpochKey& key, int64_t rows, const std::vector<int64_t>& balance_by);

}  // namespace engraft::train
