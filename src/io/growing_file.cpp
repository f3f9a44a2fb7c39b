#include "io/growing_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"

namespace engraft::io {

GrowingFile::GrowingFile(std::string path, int64_t bytes) : path_(std::move(path)), bytes_(bytes) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw SystemError::from_errno("create", path_);
  struct stat info {};
  const bool is_known = ::fstat(descriptor_, &info) == 0;
  if (is_known && info.st_size >= bytes && ::ftruncate(descriptor_, bytes) == 0 &&
      ::lseek(descriptor_, bytes, SEEK_SET) == bytes)
    return;
  ::close(descriptor_);
  if (is_known && info.st_size < bytes)
    throw DataError(text::cat(path_, ": has ", info.st_size, " bytes; expected at least ", bytes));
  throw SystemError::from_errno("cut", path_);
}

GrowingFile::~GrowingFile() { ::close(descriptor_); }

void GrowingFile::write(const std::string& text) {
  constexpr size_t kMost = 1 << 16;
  waiting_ += text;
  if (waiting_.size() >= kMost) flush();
}

void GrowingFile::flush() {
  write_all(descriptor_, waiting_.data(), waiting_.size(), path_);
  bytes_ += static_cast<int64_t>(waiting_.size());
  waiting_.clear();
}

int64_t GrowingFile::sync() {
  flush();
  if (::fsync(descriptor_) != 0) throw SystemError::from_errno("sync", path_);
  return bytes_;
}

}  // namespace engraft::io
