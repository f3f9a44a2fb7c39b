#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/errors.h"

namespace engraft::io {

namespace {

void sync_folder_of(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that may be written but not read: the rename stands all the same
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  struct stat info {};
  if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    std::error_code unknown;
    if (std::filesystem::is_symlink(path_, unknown)) path_ = std::filesystem::weakly_canonical(path_, unknown).string();
    temporary_ = path_ + ".tmp-" + std::to_string(::getpid());
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (descriptor_ < 0) throw SystemError::from_errno("create", path_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void write_all(int descriptor, const void* data, size_t size, const std::string& path) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(descriptor, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw SystemError::from_errno("write", path);
    bytes += written;
    size -= static_cast<size_t>(written);
  }
}

void AtomicFile::write(const void* data, size_t size) {
  write_all(descriptor_, data, size, path_);
  size_ += size;
}

void AtomicFile::write_at(uint64_t offset, const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw SystemError::from_errno("write", path_);
    bytes += written;
    size -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
}

void AtomicFile::read_at(uint64_t offset, void* data, size_t size) const {
  char* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::pread(descriptor_, bytes, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError::from_errno("read", path_);
    if (got == 0) throw SystemError("cannot read " + path_ + ": ends early");
    bytes += got;
    size -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

void AtomicFile::commit() {
  if (temporary_.empty()) {
    if (::close(std::exchange(descriptor_, -1)) != 0) throw SystemError::from_errno("write", path_);
    return;
  }
  if (::fsync(descriptor_) != 0) throw SystemError::from_errno("sync", path_);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const SystemError error = SystemError::from_errno("write", path_);
    ::unlink(temporary_.c_str());
    throw error;
  }
  sync_folder_of(path_);
}

void write_file(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

namespace {

/// A file that is open for reading. What is no directory may be a pipe or device, unless `only_regular`.
class OpenFile {
 public:
  OpenFile(std::string path, int open_flags, bool only_regular)
      : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | open_flags)) {
    if (descriptor_ < 0) throw failed(std::strerror(errno));
    struct stat info {};
    const int problem = ::fstat(descriptor_, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? EISDIR : 0;
    const bool is_other = only_regular && !S_ISREG(info.st_mode);
    size_ = static_cast<int64_t>(info.st_size);
    if (problem == 0 && !is_other) return;
    ::close(descriptor_);
    throw failed(problem != 0 ? std::strerror(problem) : "a pipe or device, not a file");
  }
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int64_t size() const { return size_; }
  /// At most `size` bytes, from `offset` on or, where that is negative, from where the last reading ended; 0 at the
  /// end.
  size_t read(char* to, size_t size, int64_t offset = -1) const {
    for (;;) {
      const ssize_t got = offset < 0 ? ::read(descriptor_, to, size) : ::pread(descriptor_, to, size, offset);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) throw failed(std::strerror(errno));
    }
  }
  DataError failed(const char* reason) const { return DataError("cannot read " + path_ + ": " + reason); }

 private:
  std::string path_;
  int descriptor_;
  int64_t size_ = 0;
};

std::string read_whole(const std::string& path, int open_flags, bool only_regular) {
  const OpenFile file(path, open_flags, only_regular);
  std::string bytes(static_cast<size_t>(std::max<int64_t>(file.size(), 0)) + 1, '\0');
  size_t filled = 0;
  for (;;) {
    if (filled == bytes.size()) bytes.resize(bytes.size() * 2 + 4096);
    const size_t got = file.read(bytes.data() + filled, bytes.size() - filled);
    if (got == 0) break;
    filled += got;
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

std::string read_file(const std::string& path) { return read_whole(path, 0, false); }

// Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
std::string read_regular_file(const std::string& path) { return read_whole(path, O_NONBLOCK, true); }

std::string read_part(const std::string& path, int64_t offset, int64_t size) {
  const OpenFile file(path, O_NONBLOCK, true);
  const char* too_short = "it ends before the part that is wanted";
  if (offset < 0 || size < 0 || file.size() - offset < size) throw file.failed(too_short);
  std::string bytes(static_cast<size_t>(size), '\0');
  for (size_t filled = 0; filled < bytes.size();) {
    const size_t got = file.read(bytes.data() + filled, bytes.size() - filled, offset + static_cast<int64_t>(filled));
    if (got == 0) throw file.failed(too_short);
    filled += got;
  }
  return bytes;
}

void make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw SystemError("cannot make folder " + path + ": " + error.message());
}

}  // namespace engraft::io
