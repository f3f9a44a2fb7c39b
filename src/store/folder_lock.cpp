#include "store/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "store/run_folder.h"

namespace engraft::store {

namespace {

/// Whether `path` is still the file that was opened; who held the lock before may have taken it away.
bool is_still(const std::string& path, int descriptor) {
  struct stat opened {
  }, there{};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &there) == 0 && opened.st_ino == there.st_ino &&
         opened.st_dev == there.st_dev;
}

bool lock(int descriptor) {
  int result = 0;
  do {
    result = ::flock(descriptor, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0 || errno != EWOULDBLOCK;
}

}  // namespace

FolderLock::FolderLock(const std::string& folder) : path_(folder + "/" + kLockFile) {
  io::make_folders(folder);
  for (;;) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) throw SystemError("cannot write " + path_ + ": " + std::strerror(errno));
    if (!lock(descriptor_)) {
      ::close(descriptor_);
      throw UsageError(folder + ": another process is training into it; wait until it ends, or give --out another");
    }
    if (is_still(path_, descriptor_)) return;
    ::close(descriptor_);
  }
}

FolderLock::~FolderLock() {
  if (is_still(path_, descriptor_)) ::unlink(path_.c_str());
  ::close(descriptor_);
}

}  // namespace engraft::store
