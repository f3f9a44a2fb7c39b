#pragma once

#include <cstdint>
#include <string>

namespace engraft::io {

/// A file that grows and can be cut back to what it was when it was last synced.
class GrowingFile {
 public:
  /// Opens or makes the file and cuts it to `bytes`. Throws SystemError, and DataError where it is shorter.
  GrowingFile(std::string path, int64_t bytes);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  void write(const std::string& text);
  /// Hands all to the disk; how many bytes the file has.
  int64_t sync();

 private:
  void flush();

  std::string path_, waiting_;
  int descriptor_ = -1;
  int64_t bytes_;
};

}  // namespace engraft::io
