#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace engraft::io {

/// A file that appears whole or not at all: written as `PATH.tmp-<pid>`, synced, renamed over PATH by commit().
/// Without commit() the destructor removes the temporary. A symbolic link stays, and the file that it leads to is
/// replaced. What is there and no regular file (a pipe, a device) is written to as it is. Every method throws
/// SystemError naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Overwrites `size` bytes at `offset`, which must have been written already (a header's final row count).
  void write_at(uint64_t offset, const void* data, size_t size);
  /// Reads back `size` bytes at `offset`, which must have been written, before commit(); not of a pipe or device.
  void read_at(uint64_t offset, void* data, size_t size) const;
  /// Bytes written so far.
  uint64_t size() const { return size_; }
  /// Syncs the file, renames it and syncs its folder.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// Writes all of `size` bytes to an open file, however many calls that takes. `path` is for the SystemError it throws.
void write_all(int descriptor, const void* data, size_t size, const std::string& path);

/// The whole of `bytes` as the file `path`, by AtomicFile.
void write_file(const std::string& path, std::string_view bytes);

/// The whole file. Throws DataError "cannot read PATH: reason".
std::string read_file(const std::string& path);

/// The same, but a pipe, socket or device is a DataError too: for data sets, where one would hang a reader or never
/// end.
std::string read_regular_file(const std::string& path);

/// `size` bytes from `offset` on of a regular file. Throws DataError "cannot read PATH: reason", also where the file
/// ends before.
std::string read_part(const std::string& path, int64_t offset, int64_t size);

/// Makes the folder and its parents. Throws SystemError.
void make_folders(const std::string& path);

}  // namespace engraft::io
