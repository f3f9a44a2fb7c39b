#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"
#include "store/activation_rows.h"

namespace engraft::store {

/// Rows with what could not be computed: index into the order that the rows were asked for, and the reason.
struct CachedRows {
  ActivationRows rows;
  std::vector<std::pair<int64_t, std::string>> bad;
};

/// Takes rows batch by batch. Throws SystemError when memory or disk refuse.
class RowsWriter {
 public:
  virtual ~RowsWriter() = default;
  /// Appends `output` [B, …]; all have the layout of the first.
  virtual void append(const at::Tensor& output) = 0;
  /// To be called once, at the end.
  virtual CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) = 0;
};

/// Up to `capacity` rows in the memory of `device`.
std::unique_ptr<RowsWriter> make_memory_writer(int64_t capacity, const c10::Device& device);

/// Caches on disk, each a folder named by the digest of its key (src/store/FORMAT.md): an entry is found by an equal
/// key and by nothing else. Processes may share the folder.
class ActivationCache {
 public:
  /// `folder` need not exist; empty: there is no disk to keep anything on. `limit_bytes` is for all entries together.
  ActivationCache(std::string folder, int64_t limit_bytes);

  /// The entry of `key`, mapped from its file; none where there is none, or one that is not whole.
  std::optional<CachedRows> find(const io::Json& key) const;
  /// Whether an entry of `bytes` may be written: it fits the limit, once others have gone, and the disk.
  bool has_room_for(int64_t bytes) const;
  /// Removes the longest unused entries until `bytes` more fit the limit, and begins one. Throws SystemError.
  std::unique_ptr<RowsWriter> begin(const io::Json& key, int64_t bytes) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string entry_of(const io::Json& key) const;
  std::string folder_;
  int64_t limit_bytes_;
};

/// `given`, else $ENGRAFT_CACHE, else $XDG_CACHE_HOME/engraft, else ~/.cache/engraft; with "/activations" behind it.
/// Empty where nothing says: then nothing can be kept on disk.
std::string cache_folder(const std::string& given);

}  // namespace engraft::store
