#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "store/feature_store.h"

// Small feature stores, for tests.

namespace engraft::test {

using store::FeatureStoreOptions;
using store::FeatureStoreWriter;
using store::IndexRow;

inline FeatureStoreOptions make_options(const std::string& folder, int64_t shard_rows) {
  FeatureStoreOptions options;
  options.folder = folder;
  options.shard_rows = shard_rows;
  options.taps = {{"mixed_7", {2}}};
  return options;
}

/// As of a file of so many bytes that was written in 2023.
inline io::FileFacts facts_of(int64_t bytes) {
  return {bytes, 1'700'000'000'000'000'000, io::digest_of(std::to_string(bytes))};
}

inline IndexRow row_of(const std::string& path, const std::string& label = "", const std::string& split = "",
                       const std::vector<std::string>& slices = {}) {
  IndexRow row;
  row.image_path = path;
  row.label = label;
  row.split = split;
  row.slices = slices;
  return row;
}

/// One row, with what each tap gives for it.
inline void add(FeatureStoreWriter& writer, const IndexRow& row, const std::vector<at::Tensor>& taps,
                int64_t bytes = 100) {
  std::vector<at::Tensor> batch;
  for (const at::Tensor& tap : taps) batch.push_back(tap.unsqueeze(0));
  writer.append({row}, {facts_of(bytes)}, batch);
}

/// Names of the files in `folder`, sorted.
inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace engraft::test
