#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/digest.h"
#include "io/file_lock.h"
#include "io/json.h"
#include "io/npy.h"
#include "store/rows_writer.h"

namespace engraft::store {

/// Writes an entry of the activation cache (FORMAT.md) beside its place, locked as long as it is written, and puts it
/// there when it is whole. Without finish() nothing is left.
class EntryWriter : public RowsWriter {
 public:
  /// `entry` is the entry's place, `bytes` what its rows will take. Throws SystemError.
  EntryWriter(std::string entry, const io::Json& key, int64_t bytes);
  ~EntryWriter() override;
  EntryWriter(const EntryWriter&) = delete;
  EntryWriter& operator=(const EntryWriter&) = delete;

  void append(const at::Tensor& output) override;
  CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) override;
  /// Appends to `other` the rows that were taken, before finish() or after one of the two refused. Throws SystemError
  /// where they cannot be read back.
  void copy_to(RowsWriter& other) const;

 private:
  void write_about(const std::vector<std::pair<int64_t, std::string>>& bad) const;
  void put_in_place();

  std::string entry_;
  std::string folder_;
  std::string key_line_;
  std::unique_ptr<io::FileLock> lock_;
  RowLayout layout_;
  std::unique_ptr<io::NpyWriter> file_;
  io::Xxh128 digest_;
};

/// The entry at `entry`, mapped from its file after its bytes were compared with their digests; none where there is
/// none, or one of another version or key, or without digests. Throws DataError for one that is damaged.
std::optional<CachedRows> read_entry(const std::string& entry, const io::Json& key);

/// A folder in the cache.
struct CacheEntry {
  enum class State { kWhole, kBeingWritten, kLeftBehind };
  std::filesystem::path path;
  State state;
  std::filesystem::file_time_type used;
  /// Of its files; of one that is being written what it will take.
  int64_t bytes = 0;
};

/// All of them, the longest unused first. Other files of the folder are none.
std::vector<CacheEntry> entries_in(const std::string& folder);

}  // namespace engraft::store
