#include "store/folder_lock.h"

#include "base/errors.h"
#include "io/atomic_file.h"
#include "store/run_folder.h"

namespace engraft::store {

FolderLock::FolderLock(const std::string& folder) {
  io::make_folders(folder);
  lock_ = io::FileLock::try_lock(folder + "/" + kLockFile);
  if (lock_ == nullptr)
    throw UsageError(folder + ": another process writes it; wait until it ends, or give --out another");
}

FolderLock::~FolderLock() { lock_->remove(); }

}  // namespace engraft::store
