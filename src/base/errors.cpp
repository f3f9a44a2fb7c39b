#include "base/errors.h"

#include <cerrno>
#include <cstring>

namespace engraft {

SystemError SystemError::from_errno(const std::string& what, const std::string& path) {
  const int code = errno;
  return SystemError("cannot " + what + " " + path + ": " + std::strerror(code));
}

}  // namespace engraft
