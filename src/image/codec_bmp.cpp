#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/byte_reader.h"
#include "image/codecs.h"

/// Windows and OS/2 bitmaps. Source: Microsoft's BITMAPINFOHEADER to BITMAPV5HEADER.
namespace engraft::image::codec {
namespace {

enum Compression : uint32_t { kPlain = 0, kRunLength8 = 1, kRunLength4 = 2, kMasks = 3, kMasksWithAlpha = 6 };
using Colour = std::array<uint8_t, 3>;

struct Header {
  uint32_t bytes = 0;
  uint32_t bits = 0;
  uint32_t compression = kPlain;
  uint32_t colours = 0;
  uint64_t pixels_at = 0;
  bool top_down = false;

  bool core() const { return bytes == 12; }
  bool run_length() const { return compression == kRunLength8 || compression == kRunLength4; }
};

Header read_header(const ByteReader& r, ImageInfo& info) {
  Header h;
  h.pixels_at = r.u32(10);
  h.bytes = r.u32(14);
  if (!h.core() && (h.bytes < 40 || h.bytes > 124)) r.unsupported(text::cat("a header of ", h.bytes, " bytes"));
  const int64_t height = h.core() ? r.u16(20) : r.i32(22);
  h.top_down = height < 0;
  r.set_size(h.core() ? r.u16(18) : r.i32(18), std::abs(height), info);
  h.bits = h.core() ? r.u16(24) : r.u16(28);
  h.compression = h.core() ? static_cast<uint32_t>(kPlain) : r.u32(30);
  h.colours = h.core() ? 0 : r.u32(46);
  if (h.compression > kMasks && h.compression != kMasksWithAlpha)
    r.unsupported(text::cat("compression ", h.compression));
  if (h.bits != 1 && h.bits != 2 && h.bits != 4 && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32)
    r.damaged(text::cat(h.bits, " bits a pixel"));
  if ((h.compression == kRunLength8 && h.bits != 8) || (h.compression == kRunLength4 && h.bits != 4))
    r.damaged(text::cat("run lengths of ", h.bits, " bits"));
  info.mode = h.bits <= 8 ? "palette" : "rgb";
  info.bits = h.bits <= 8 ? static_cast<int>(h.bits) : h.bits == 16 ? 5 : 8;
  return h;
}

/// 256 colours; those the file does not give are grey ramps, as Pillow's.
std::array<Colour, 256> read_palette(const ByteReader& r, const Header& h) {
  std::array<Colour, 256> palette;
  for (size_t i = 0; i < palette.size(); ++i) palette[i].fill(static_cast<uint8_t>(i));
  const uint64_t at = 14 + static_cast<uint64_t>(h.bytes), each = h.core() ? 3 : 4;
  uint64_t count = h.colours == 0 ? 1u << h.bits : std::min(h.colours, 256u);
  if (h.pixels_at > at) count = std::min(count, (h.pixels_at - at) / each);
  for (uint64_t i = 0; i < count; ++i) {
    const uint8_t* entry = r.need(at + i * each, each);
    palette[i] = {entry[2], entry[1], entry[0]};
  }
  return palette;
}

/// One colour of a 16- or 32-bit pixel, scaled to 8 bits as value * 255 / largest.
struct Mask {
  uint32_t shift = 0;
  uint32_t largest = 0;

  uint8_t of(uint32_t pixel) const {
    const uint64_t value = (pixel >> shift) & largest;
    return static_cast<uint8_t>(value * 255 / largest);
  }
};

std::array<Mask, 3> read_masks(const ByteReader& r, const Header& h) {
  std::array<uint32_t, 3> bits = {0xff0000, 0xff00, 0xff};
  if (h.bits == 16) bits = {0x7c00, 0x3e0, 0x1f};
  if (h.compression == kMasks || h.compression == kMasksWithAlpha)
    for (size_t c = 0; c < 3; ++c) bits[c] = r.u32(54 + 4 * c);
  std::array<Mask, 3> masks;
  for (size_t c = 0; c < 3; ++c) {
    if (bits[c] == 0) r.damaged("a colour mask of no bits");
    while ((bits[c] >> masks[c].shift & 1) == 0) ++masks[c].shift;
    masks[c].largest = bits[c] >> masks[c].shift;
    if ((masks[c].largest & (static_cast<uint64_t>(masks[c].largest) + 1)) != 0) r.damaged("a colour mask with holes");
  }
  return masks;
}

/// Palette indices [height, width] of a run-length coded bitmap, rows in the file's order (bottom up). Pixels that the
/// code skips are colour 0; code that ends before the end-of-bitmap mark with rows missing is truncated.
std::vector<uint8_t> expand_runs(const ByteReader& r, const Header& h, const ImageInfo& info) {
  const auto width = static_cast<uint64_t>(info.width_px), height = static_cast<uint64_t>(info.height_px);
  std::vector<uint8_t> out(width * height);
  const bool nibbles = h.compression == kRunLength4;
  uint64_t at = h.pixels_at, x = 0, y = 0;
  const auto put = [&](uint32_t index) {
    if (x < width && y < height) out[y * width + x] = static_cast<uint8_t>(index);
    ++x;
  };
  while (y < height && !(y + 1 == height && x >= width)) {
    const uint32_t count = r.u8(at), value = r.u8(at + 1);
    at += 2;
    if (count > 0) {
      for (uint32_t i = 0; i < count; ++i) put(!nibbles ? value : i % 2 == 0 ? value >> 4 : value & 15);
    } else if (value == 0) {
      x = 0;
      ++y;
    } else if (value == 1) {
      break;
    } else if (value == 2) {
      x += r.u8(at);
      y += r.u8(at + 1);
      at += 2;
    } else {
      const uint64_t bytes = nibbles ? (value + 1) / 2 : value;
      r.need(at, bytes);
      for (uint32_t i = 0; i < value; ++i) {
        const uint32_t byte = r.u8(at + (nibbles ? i / 2 : i));
        put(!nibbles ? byte : i % 2 == 0 ? byte >> 4 : byte & 15);
      }
      at += (bytes + 1) / 2 * 2;
    }
  }
  return out;
}

void plain_row(const ByteReader& r, const Header& h, const std::array<Mask, 3>& masks, uint64_t at, Picture& picture,
               int y) {
  const uint8_t* from = r.need(at, static_cast<uint64_t>(picture.width_px) * h.bits / 8);
  uint8_t* to = picture.row(y);
  for (int x = 0; x < picture.width_px; ++x, to += 3, from += h.bits / 8) {
    if (h.bits == 24) {
      to[0] = from[2], to[1] = from[1], to[2] = from[0];
      continue;
    }
    uint32_t pixel = static_cast<uint32_t>(from[0]) | static_cast<uint32_t>(from[1]) << 8;
    if (h.bits == 32) pixel |= static_cast<uint32_t>(from[2]) << 16 | static_cast<uint32_t>(from[3]) << 24;
    for (size_t c = 0; c < 3; ++c) to[c] = masks[c].of(pixel);
  }
}

void palette_row(const uint8_t* indices, uint32_t bits, const std::array<Colour, 256>& palette, Picture& picture,
                 int y) {
  uint8_t* to = picture.row(y);
  const uint32_t a_byte = 8 / bits, mask = (1u << bits) - 1;
  for (uint32_t x = 0; x < static_cast<uint32_t>(picture.width_px); ++x) {
    const uint32_t index = indices[x / a_byte] >> (8 - bits * (x % a_byte + 1)) & mask;
    to = std::copy(palette[index].begin(), palette[index].end(), to);
  }
}

}  // namespace

Picture read_bmp(const Request& request, ImageInfo& info) {
  const ByteReader r(request.bytes, "BMP", true);
  const Header h = read_header(r, info);
  check_size(info.width_px, info.height_px, request.max_pixels);
  const auto width = static_cast<uint64_t>(info.width_px), height = static_cast<uint64_t>(info.height_px);
  const uint64_t stride = (width * h.bits + 31) / 32 * 4;
  // The last row's padding may be missing.
  r.need(h.pixels_at, h.run_length() ? 1 : stride * (height - 1) + (width * h.bits + 7) / 8);
  if (request.want == Want::kHeader) return {};

  Picture picture(info.width_px, info.height_px);
  const auto row_of = [&](uint64_t y) { return static_cast<int>(h.top_down ? y : height - 1 - y); };
  if (h.bits > 8) {
    const std::array<Mask, 3> masks = h.bits == 24 ? std::array<Mask, 3>{} : read_masks(r, h);
    for (uint64_t y = 0; y < height; ++y) plain_row(r, h, masks, h.pixels_at + y * stride, picture, row_of(y));
    return picture;
  }
  const std::array<Colour, 256> palette = read_palette(r, h);
  if (h.run_length()) {
    const std::vector<uint8_t> indices = expand_runs(r, h, info);
    for (uint64_t y = 0; y < height; ++y) palette_row(indices.data() + y * width, 8, palette, picture, row_of(y));
    return picture;
  }
  for (uint64_t y = 0; y < height; ++y) {
    const uint8_t* row = r.need(h.pixels_at + y * stride, (width * h.bits + 7) / 8);
    palette_row(row, h.bits, palette, picture, row_of(y));
  }
  return picture;
}

}  // namespace engraft::image::codec
