#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace engraft::store {

// Names and constants of the feature store's files, as src/store/FORMAT.md gives them.
constexpr const char* kStoreFile = "store.json";
constexpr const char* kIndexFile = "index.csv";
constexpr const char* kSkippedFile = "skipped.csv";
constexpr const char* kFormat = "engraft feature store";
constexpr int64_t kVersion = 1;
/// The word of store.json and the NumPy type of the shards.
constexpr const char* kDtype = "float32";
constexpr const char* kShardType = "<f4";
/// The index's columns before the slices.
constexpr std::array<const char*, 4> kIndexColumns = {"row", "image_path", "label", "split"};

/// "features-00000.npy", or "features.TAP-00000.npy" where the store has several taps.
std::string shard_name(const std::string& tap, bool is_only_tap, int64_t number);

}  // namespace engraft::store
