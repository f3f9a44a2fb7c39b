#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"

namespace engraft::store {

/// Written first and last of a run's files.
inline constexpr const char* kRunFile = "run.toml";
inline constexpr const char* kResultFile = "result.json";

/// Writes the files of a run (src/store/FORMAT.md), each whole or not at all. Throws SystemError.
class RunFolder {
 public:
  /// Makes the folder. Throws UsageError as require_free_folder.
  explicit RunFolder(std::string path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  void write_text(const std::string& name, const std::string& text) const;
  /// One more line in metrics.jsonl, and the same as a row of metrics.csv (columns: the keys of the first line).
  void add_metrics(const io::Json& line);
  /// One more line in timings.jsonl.
  void add_timing(const io::Json& line);

 private:
  std::string path_;
  std::string metrics_, metrics_csv_, timings_;
};

}  // namespace engraft::store
