#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/run_files.h"
#include "io/json.h"

namespace engraft::store {

/// Written by train --find-lr; it does not stand in a run's way.
inline constexpr const char* kRateRangeFile = "rate_range.csv";

/// Held by who writes the folder (FolderLock); it does not stand in a run's way either.
inline constexpr const char* kLockFile = "run.lock";

/// Removes what killed writers left half written in a folder, if there is one: of the file `name`, or of any file.
void remove_temporaries(const std::string& folder, const std::string& name = "");

/// Writes the files of a run (src/store/FORMAT.md), each whole or not at all. Throws SystemError.
class RunFolder {
 public:
  /// Makes the folder. Throws UsageError as require_free_folder.
  explicit RunFolder(std::string path);
  /// Opens the folder of a run that was cut off, to go on from where it had `epochs` lines of metrics: files that came
  /// later, and what was half written, go. Throws DataError where there are fewer lines.
  RunFolder(std::string path, int64_t epochs);

  const std::string& path() const { return path_; }
  /// Lines of metrics.jsonl.
  int64_t epochs() const { return epochs_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  void write_text(const std::string& name, const std::string& text) const;
  /// More lines in metrics.jsonl, and the same as rows of metrics.csv (columns: the keys of the first line), and as many
  /// in timings.jsonl. Each file is written once.
  void add_epochs(const std::vector<io::Json>& metrics, const std::vector<io::Json>& timings);

 private:
  std::string path_;
  int64_t epochs_ = 0;
  std::string metrics_, metrics_csv_, timings_;
};

}  // namespace engraft::store
