#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/json.h"
#include "store/cache_entry.h"
#include "store/rows_writer.h"

namespace engraft::store {

/// Caches on disk, each a folder named by the digest of its key (src/store/FORMAT.md): an entry is found by an equal
/// key and by nothing else. Processes may share the folder.
class ActivationCache {
 public:
  /// `folder` need not exist; empty: there is no disk to keep anything on. `limit_bytes` is for all entries together.
  ActivationCache(std::string folder, int64_t limit_bytes);

  /// What find gives: none where there is no entry, or a damaged one, which is removed.
  struct Found {
    std::optional<CachedRows> rows;
    bool is_damaged = false;
  };
  /// The entry of `key`, mapped from its file after one reading that compares it with its digests.
  Found find(const io::Json& key) const;
  /// Why an entry of `bytes` may not be written ("more than --cache-limit allows"); empty where it may: it fits the
  /// limit, once others have gone that nobody is writing, and the disk, and the folder can be written.
  std::string refusal(int64_t bytes) const;
  /// Removes what was left behind, and the longest unused entries until `bytes` more fit the limit, and begins one.
  /// Entries that other processes are writing stay. Throws SystemError.
  std::unique_ptr<EntryWriter> begin(const io::Json& key, int64_t bytes) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string entry_of(const io::Json& key) const;
  std::string folder_;
  int64_t limit_bytes_;
};

/// Where runs keep what later ones may use: `given`, else $ENGRAFT_CACHE, else $XDG_CACHE_HOME/engraft, else
/// ~/.cache/engraft. Empty where nothing says: then nothing can be kept on disk.
std::string cache_root(const std::string& given);

/// The activation cache's part of it; empty where that is.
std::string cache_folder(const std::string& given);

/// `gib` ≥ 0 in bytes; what no int64_t holds as the largest.
int64_t cache_limit_bytes(double gib);

}  // namespace engraft::store
