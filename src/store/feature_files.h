#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/run_files.h"
#include "store/shard_file.h"

namespace engraft::store {

// Names and constants of the feature store's files, as src/store/FORMAT.md gives them.
constexpr const char* kIndexFile = "index.csv";
constexpr const char* kSkippedFile = "skipped.csv";
constexpr const char* kFilesFile = "files.csv";
/// While a writing is under way: what --resume goes on from, and the lines of the three tables so far.
constexpr const char* kUnfinishedIndexFile = "unfinished-index.csv";
constexpr const char* kUnfinishedFilesFile = "unfinished-files.csv";
constexpr const char* kUnfinishedSkippedFile = "unfinished-skipped.csv";
constexpr const char* kFormat = "engraft feature store";
constexpr int64_t kVersion = 2;
/// The index's columns before the slices.
constexpr std::array<const char*, 7> kIndexColumns = {"row",  "image_path", "label",     "split",
                                                      "view", "generation", "superseded"};

/// "features-00000.npy", or "features.TAP-00000.npy" where the store has several taps; bfloat16: ".safetensors".
std::string shard_name(const std::string& tap, bool is_only_tap, int64_t number, FeatureType type);

}  // namespace engraft::store
