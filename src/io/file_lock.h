#pragma once

#include <string>

namespace engraft::io {

/// A file that one holder at a time has locked, by flock(2): the lock ends with the object or with the process, however
/// that ends. Two in one process exclude each other as two processes do.
class FileLock {
 public:
  /// Makes the file where it is missing and waits until nobody else holds it. Throws SystemError where the
  /// file cannot be made; where the file system knows no locks, it goes on without.
  explicit FileLock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  /// Makes `text` what the file says. Throws SystemError.
  void write(const std::string& text);
  /// Whether somebody holds it, or that cannot be told; false where there is no such file.
  static bool is_held(const std::string& path);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace engraft::io
