#pragma once

#include <memory>
#include <string>

#include "io/file_lock.h"

namespace engraft::store {

/// Keeps other processes from writing a folder of results: the lock on its kLockFile, which the system lets go when the
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
  std::unique_ptr<io::FileLock> lock_;
};

}  // namespace engraft::store
