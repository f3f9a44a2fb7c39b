#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/growing_file.h"
#include "store/feature_store.h"
#include "store/tap_record.h"

namespace engraft::store {

/// How far a writing has come, as unfinished.json has it: all that a later one goes on from.
struct Unfinished {
  /// JSON objects, as FeatureStoreWriter takes them.
  std::string computed = "{}", plan = "{}";
  int64_t generation = 0;
  /// Rows, and lines of files.csv, of the finished store that is added to.
  int64_t base_rows = 0, base_files = 0;
  /// In whole shards, those of the base included.
  int64_t rows = 0;
  /// Of this generation: rows and skips, each view for itself; and pictures skipped.
  int64_t done = 0, skipped = 0;
  /// Lines of the unfinished files table.
  int64_t files = 0;
  /// Of the three unfinished tables.
  int64_t index_bytes = 0, files_bytes = 0, skipped_bytes = 0;
  std::vector<TapRecord> taps;
};

/// Throws SystemError.
void write_unfinished(const std::string& folder, const Unfinished& state);
/// None where the folder holds no unfinished.json. Throws DataError for one that is damaged.
std::optional<Unfinished> read_unfinished(const std::string& folder);
/// Throws DataError where the shards are not what `state` says; cuts the unfinished tables back to what it says.
void check_files(const std::string& folder, const Unfinished& state, FeatureType type);
/// Takes unfinished.json and the unfinished tables away.
void remove_unfinished(const std::string& folder);

}  // namespace engraft::store
