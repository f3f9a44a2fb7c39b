#include "image/exif.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace engraft::image {
namespace {

class TiffBytes {
 public:
  explicit TiffBytes(ByteSpan block) : block_(block) {
    little_ = block.size >= 8 && std::memcmp(block.data, "II*\0", 4) == 0;
    ok_ = little_ || (block.size >= 8 && std::memcmp(block.data, "MM\0*", 4) == 0);
  }
  bool ok() const { return ok_; }
  bool has(size_t at, size_t count) const { return at <= block_.size && count <= block_.size - at; }
  uint32_t u16(size_t at) const {
    const uint32_t a = block_.data[at], b = block_.data[at + 1];
    return little_ ? a | b << 8 : a << 8 | b;
  }
  uint32_t u32(size_t at) const {
    const uint32_t a = u16(at), b = u16(at + 2);
    return little_ ? a | b << 16 : a << 16 | b;
  }

 private:
  ByteSpan block_;
  bool little_ = false;
  bool ok_ = false;
};

int in_range(uint32_t value) { return value >= 1 && value <= 8 ? static_cast<int>(value) : 0; }

}  // namespace

int exif_orientation(ByteSpan block) {
  if (block.size >= 6 && std::memcmp(block.data, "Exif\0\0", 6) == 0) block = {block.data + 6, block.size - 6};
  const TiffBytes bytes(block);
  if (!bytes.ok()) return 0;
  const size_t directory = bytes.u32(4);
  if (!bytes.has(directory, 2)) return 0;
  const uint32_t entries = bytes.u16(directory);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * static_cast<size_t>(i);
    if (!bytes.has(entry, 12)) return 0;
    if (bytes.u16(entry) != 0x0112) continue;
    const uint32_t type = bytes.u16(entry + 2);
    if (bytes.u32(entry + 4) != 1) return 0;
    if (type == 3) return in_range(bytes.u16(entry + 8));
    if (type == 4) return in_range(bytes.u32(entry + 8));
    return 0;
  }
  return 0;
}

int xmp_orientation(ByteSpan packet) {
  if (packet.size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(packet.data), packet.size);
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = text.find(kName); at != std::string_view::npos; at = text.find(kName, at + 1)) {
    std::string_view rest = text.substr(at + kName.size());
    if (rest.substr(0, 2) == "=\"")
      rest.remove_prefix(2);
    else if (rest.substr(0, 1) == ">")
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return in_range(static_cast<uint32_t>(rest[0] - '0'));
  }
  return 0;
}

Picture upright(Picture picture, int orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  const bool swapped = orientation >= 5;
  const int width = picture.width_px, height = picture.height_px;
  Picture out(swapped ? height : width, swapped ? width : height);
  // Where the picture's first pixel lands, and how far one step along its rows (dx) and columns (dy) goes.
  const ptrdiff_t column = 3, row = static_cast<ptrdiff_t>(out.stride_bytes());
  const ptrdiff_t last_column = column * (out.width_px - 1), last_row = row * (out.height_px - 1);
  ptrdiff_t start = 0, dx = column, dy = row;
  switch (orientation) {
    case 2:
      start = last_column, dx = -column, dy = row;
      break;
    case 3:
      start = last_column + last_row, dx = -column, dy = -row;
      break;
    case 4:
      start = last_row, dx = column, dy = -row;
      break;
    case 5:
      start = 0, dx = row, dy = column;
      break;
    case 6:
      start = last_column, dx = row, dy = -column;
      break;
    case 7:
      start = last_column + last_row, dx = -row, dy = -column;
      break;
    case 8:
      start = last_row, dx = -row, dy = column;
      break;
  }
  for (int y = 0; y < height; ++y) {
    const uint8_t* from = picture.row(y);
    ptrdiff_t to = start + dy * y;
    for (int x = 0; x < width; ++x, from += 3, to += dx) std::copy(from, from + 3, out.pixels.data() + to);
  }
  return out;
}

}  // namespace engraft::image
