#pragma once

#include <string>
#include <vector>

namespace engraft::engine {

/// The least and the largest value that tensors were seen to have.
struct ValueRange {
  float low = 0;
  float high = 0;
};

/// What a network's tensors were seen to hold, by which they are quantised to eight bits; for one method of one network
/// and one preprocessing.
struct Calibration {
  /// In the order of the observer's outputs (engine.h).
  std::vector<ValueRange> ranges;
  /// Says which ranges these are, for records and names.
  std::string digest;
};

}  // namespace engraft::engine
