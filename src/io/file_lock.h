#pragma once

#include <memory>
#include <string>

namespace engraft::io {

/// A file that one holder at a time has locked, by flock(2): the lock ends with the object or with the process, however
/// that ends. Two in one process exclude each other as two processes do.
class FileLock {
 public:
  /// Makes the file where it is missing and waits until nobody else holds it. Throws SystemError where the
  /// file cannot be made; where the file system knows no locks, it goes on without.
  explicit FileLock(const std::string& path);
  /// The same without waiting; null where somebody else holds it.
  static std::unique_ptr<FileLock> try_lock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  /// Makes `text` what the file says. Throws SystemError.
  void write(const std::string& text);
  /// Takes the file away, unless another one stands there by now. Only where all who lock it use try_lock(): it sees
  /// that the file it has locked is not the one that stands there, and tries again.
  void remove();
  /// Whether somebody holds it, or that cannot be told; false where there is no such file.
  static bool is_held(const std::string& path);

 private:
  /// Opens the file without locking it.
  struct Open {};
  FileLock(const std::string& path, Open);
  /// `how` is added to LOCK_EX. False where somebody else holds it.
  bool lock(int how);
  /// Whether the file that was opened is the one at path_.
  bool is_there() const;

  std::string path_;
  int descriptor_ = -1;
};

}  // namespace engraft::io
