#include "io/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/errors.h"

namespace engraft::io {

FileLock::FileLock(const std::string& path, Open) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw SystemError::from_errno("create", path);
}

FileLock::FileLock(const std::string& path) : FileLock(path, Open{}) { lock(0); }

std::unique_ptr<FileLock> FileLock::try_lock(const std::string& path) {
  for (;;) {
    std::unique_ptr<FileLock> lock(new FileLock(path, Open{}));
    if (!lock->lock(LOCK_NB)) return nullptr;
    if (lock->is_there()) return lock;
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

void FileLock::write(const std::string& text) {
  const bool is_written = ::ftruncate(descriptor_, 0) == 0 &&
                          ::pwrite(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
  if (!is_written) throw SystemError::from_errno("write", path_);
}

void FileLock::remove() {
  if (is_there()) ::unlink(path_.c_str());
}

bool FileLock::lock(int how) {
  int result = 0;
  do {
    result = ::flock(descriptor_, LOCK_EX | how);
  } while (result != 0 && errno == EINTR);
  return result == 0 || errno != EWOULDBLOCK;
}

bool FileLock::is_there() const {
  struct stat opened {
  }, there{};
  return ::fstat(descriptor_, &opened) == 0 && ::stat(path_.c_str(), &there) == 0 && opened.st_ino == there.st_ino &&
         opened.st_dev == there.st_dev;
}

// Shared, so that those who ask do not take each other for a holder.
bool FileLock::is_held(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno != ENOENT && errno != ENOTDIR;
  const bool is_free = ::flock(descriptor, LOCK_SH | LOCK_NB) == 0;
  ::close(descriptor);
  return !is_free;
}

}  // namespace engraft::io
