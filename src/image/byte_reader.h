#pragma once

#include <climits>
#include <cstdint>
#include <string>

#include "base/errors.h"
#include "base/text.h"
#include "image/decode.h"

namespace engraft::image::codec {

/// Numbers at places of a file; reading past its end is a DataError.
class ByteReader {
 public:
  ByteReader(ByteSpan bytes, const char* format, bool little) : bytes_(bytes), format_(format), little_(little) {}

  uint64_t size() const { return bytes_.size; }
  uint32_t u8(uint64_t at) const { return *need(at, 1); }
  uint32_t u16(uint64_t at) const {
    const uint8_t* p = need(at, 2);
    return little_ ? p[0] | static_cast<uint32_t>(p[1]) << 8 : static_cast<uint32_t>(p[0]) << 8 | p[1];
  }
  uint32_t u32(uint64_t at) const {
    const uint32_t a = u16(at), b = u16(at + 2);
    return little_ ? a | b << 16 : a << 16 | b;
  }
  int32_t i32(uint64_t at) const { return static_cast<int32_t>(u32(at)); }
  const uint8_t* need(uint64_t at, uint64_t count) const {
    if (at > bytes_.size || count > bytes_.size - at) truncated();
    return bytes_.data + at;
  }
  [[noreturn]] void truncated() const { throw DataError(text::cat("truncated ", format_, ": it ends too soon")); }
  [[noreturn]] void damaged(const std::string& how) const {
    throw DataError(text::cat("damaged ", format_, ": ", how));
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    throw DataError(text::cat(format_, " with ", what, " is not supported"));
  }

  /// Throws unless both fit a positive int.
  void set_size(int64_t width, int64_t height, ImageInfo& info) const {
    if (width <= 0 || height <= 0 || width > INT_MAX || height > INT_MAX)
      damaged(text::cat("a picture of ", width, "x", height, " pixels"));
    info.width_px = static_cast<int>(width);
    info.height_px = static_cast<int>(height);
  }

 private:
  ByteSpan bytes_;
  const char* format_;
  bool little_;
};

}  // namespace engraft::image::codec
