#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace engraft {

/// `count` places of [0, total) in equal steps from 0 on, ascending; all of them where there are no more.
inline std::vector<int64_t> evenly_spread(int64_t total, int64_t count) {
  const int64_t taken = std::min(count, total);
  std::vector<int64_t> places;
  for (int64_t i = 0; i < taken; ++i) places.push_back(i * total / taken);
  return places;
}

}  // namespace engraft
