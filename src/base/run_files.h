#pragma once

namespace engraft {

// Files of a run's folder (src/store/FORMAT.md).

/// Written first and last of a run's files.
inline constexpr const char* kRunFile = "run.toml";
inline constexpr const char* kResultFile = "result.json";
/// A line an epoch, whole lines at any moment.
inline constexpr const char* kMetricsFile = "metrics.jsonl";

// Of a feature store's.

/// Written last.
inline constexpr const char* kStoreFile = "store.json";
/// There until then.
inline constexpr const char* kUnfinishedFile = "unfinished.json";

}  // namespace engraft
