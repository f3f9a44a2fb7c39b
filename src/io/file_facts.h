#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "io/digest.h"

namespace engraft::io {

/// What a file was when it was looked at.
struct FileFacts {
  /// -1: there was no such file, or it could not be looked at.
  int64_t bytes = -1;
  /// When it was last written, in nanoseconds since 1970.
  int64_t modified_ns = 0;
  /// xxh3-128 of what it held; zeros where it was not read.
  Digest128 digest{};

  /// By size and time, the short cut: a file with both as before is taken to hold what it held.
  bool looks_like(const FileFacts& other) const {
    return bytes >= 0 && bytes == other.bytes && modified_ns == other.modified_ns;
  }
};

/// Size and time of `path` without opening it. Throws nothing.
FileFacts look_at_file(const std::string& path);

/// The digest of what was read.
Digest128 digest_of(std::string_view bytes);

}  // namespace engraft::io
