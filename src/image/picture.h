#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace engraft::image {

/// Pixels [height, width, 3], uint8, RGB, rows without padding.
struct Picture {
  int width_px = 0;
  int height_px = 0;
  std::vector<uint8_t> pixels;

  Picture() = default;
  /// All black.
  Picture(int width, int height)
      : width_px(width), height_px(height), pixels(static_cast<size_t>(width) * static_cast<size_t>(height) * 3) {}

  size_t stride_bytes() const { return static_cast<size_t>(width_px) * 3; }
  uint8_t* row(int y) { return pixels.data() + static_cast<size_t>(y) * stride_bytes(); }
  const uint8_t* row(int y) const { return pixels.data() + static_cast<size_t>(y) * stride_bytes(); }
};

/// Somebody else's bytes; valid as long as theirs are.
struct ByteSpan {
  const uint8_t* data = nullptr;
  size_t size = 0;

  ByteSpan() = default;
  ByteSpan(const uint8_t* bytes, size_t count) : data(bytes), size(count) {}
  explicit ByteSpan(std::string_view text) : data(reinterpret_cast<const uint8_t*>(text.data())), size(text.size()) {}
};

}  // namespace engraft::image
