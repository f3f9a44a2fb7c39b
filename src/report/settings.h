#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "report/predictions.h"

// What comparison.cpp compares; for this folder alone.

namespace engraft::report {

/// Repetitions of one setting.
struct Setting {
  std::string name;  // a, b, …
  std::vector<const Predictions*> runs;
};

/// Runs whose options differ in the seed alone are one setting, unless `each_seed`.
std::vector<Setting> settings_of(const std::vector<Predictions>& runs, bool each_seed);

/// Throws DataError, naming what differs, for another metric, other pictures, labels or contents.
void require_same_data(const Predictions& first, const Predictions& other);

/// For each setting the options that are not the same in all of them; empty where a run's are not known.
std::vector<io::Json> differing_options(const std::vector<Setting>& settings);

}  // namespace engraft::report
