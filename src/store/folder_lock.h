#pragma once

#include <string>

namespace engraft::store {

/// Keeps other processes from training into a folder: the lock on its kLockFile, which the system lets go when the
/// process ends, however it ends.
class FolderLock {
 public:
  /// Makes the folder where there is none. Throws UsageError where another holds the lock, SystemError where the file
  /// cannot be made. Where the file system knows no locks, it goes on without.
  explicit FolderLock(const std::string& folder);
  /// Takes the file away.
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace engraft::store
