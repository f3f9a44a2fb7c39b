#include "store/out_folder.h"

#include <filesystem>

#include "base/errors.h"
#include "base/run_files.h"
#include "store/run_folder.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

/// What a folder that is not empty holds, for a message.
std::string contents_of(const fs::path& folder) {
  std::error_code unknown;
  const auto has = [&](const char* name) { return fs::exists(folder / name, unknown); };
  if (has(kUnfinishedFile)) return "holds a feature store that was not finished (embed --resume goes on)";
  if (has(kStoreFile)) return "holds a feature store";
  if (has(kResultFile)) return "holds a finished run";
  if (has(kRunFile)) return "holds a run that was not finished";
  return "is not empty";
}

}  // namespace

void require_free_folder(const std::string& folder) {
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) return;
  if (!fs::is_directory(status)) throw UsageError(folder + ": exists and is not a folder; expected a new folder");
  bool is_empty = true;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const fs::path name = it->path().filename();
    // Of a train --find-lr of the run to come, and of one that was killed before its first file stood.
    is_empty = is_empty && (name == kRateRangeFile || name == kLockFile);
  }
  if (error) throw UsageError("cannot read " + folder + ": " + error.message());
  if (is_empty) return;
  throw UsageError(folder + ": " + contents_of(folder) +
                   "; expected a new or empty folder: remove it, or give --out another");
}

}  // namespace engraft::store
