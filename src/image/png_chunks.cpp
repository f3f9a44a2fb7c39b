#include "image/png_chunks.h"

#include <zlib.h>

#include <cstring>
#include <string>
#include <string_view>

#include "base/errors.h"
#include "base/text.h"
#include "image/exif.h"

namespace engraft::image::codec {
namespace {

constexpr size_t kSignatureBytes = 8;
constexpr size_t kFrameBytes = 12;  // length, name and checksum around a chunk's data

uint32_t big_u32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 | static_cast<uint32_t>(at[2]) << 8 |
         static_cast<uint32_t>(at[3]);
}

void read_header(ByteSpan data, PngLayout& layout) {
  if (data.size != 13) throw DataError(text::cat("damaged PNG: a header of ", data.size, " bytes, not 13"));
  const uint32_t width = big_u32(data.data), height = big_u32(data.data + 4);
  if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
    throw DataError(text::cat("damaged PNG: a picture of ", width, "x", height, " pixels"));
  layout.width_px = static_cast<int>(width);
  layout.height_px = static_cast<int>(height);
  layout.bits = data.data[8];
  layout.color_type = data.data[9];
  if (data.data[10] != 0) throw DataError(text::cat("damaged PNG: unknown compression method ", +data.data[10]));
  if (data.data[11] != 0) throw DataError(text::cat("damaged PNG: unknown filter method ", +data.data[11]));
  layout.interlaced = data.data[12] != 0;
}

/// An iTXt chunk's text, when it is the XMP packet and not compressed.
ByteSpan xmp_packet(ByteSpan data) {
  constexpr char kKey[] = "XML:com.adobe.xmp";  // with its final zero
  if (data.size < sizeof(kKey) + 2 || std::memcmp(data.data, kKey, sizeof(kKey)) != 0) return {};
  if (data.data[sizeof(kKey)] != 0) return {};  // compressed
  return {data.data + sizeof(kKey) + 2, data.size - sizeof(kKey) - 2};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// The EXIF block that ImageMagick writes as text: two lines of heading, the length, then hexadecimal. 0 where there is
/// none. `compressed` for a zTXt chunk; more than 1 MiB of text is not looked at.
int raw_profile_orientation(ByteSpan data, bool compressed) {
  constexpr char kKey[] = "Raw profile type exif";  // with its final zero
  if (data.size < sizeof(kKey) + 1 || std::memcmp(data.data, kKey, sizeof(kKey)) != 0) return 0;
  std::string text;
  if (compressed) {
    text.resize(size_t{1} << 20);
    uLongf size = text.size();
    const uint8_t* packed = data.data + sizeof(kKey) + 1;
    if (uncompress(reinterpret_cast<Bytef*>(text.data()), &size, packed, data.size - sizeof(kKey) - 1) != Z_OK)
      return 0;
    text.resize(size);
  } else {
    text.assign(reinterpret_cast<const char*>(data.data) + sizeof(kKey), data.size - sizeof(kKey));
  }
  size_t at = 0;
  for (int line = 0; line < 3; ++line) {
    at = text.find('\n', at);
    if (at == std::string::npos) return 0;
    ++at;
  }
  std::string block;
  int high = -1;
  for (; at < text.size(); ++at) {
    const int digit = hex_digit(text[at]);
    if (digit < 0) continue;
    if (high >= 0) block += static_cast<char>(high << 4 | digit);
    high = high >= 0 ? -1 : digit;
  }
  return exif_orientation(ByteSpan(block));
}

}  // namespace

int PngLayout::bits_a_pixel() const {
  const int channels = color_type == 2 ? 3 : color_type == 4 ? 2 : color_type == 6 ? 4 : 1;
  return channels * bits;
}

PngLayout png_layout(ByteSpan bytes) {
  PngLayout layout;
  layout.picture_parts.push_back({0, kSignatureBytes});
  bool pixels_met = false, pixels_over = false;
  int raw_profile = 0, xmp = 0;
  for (size_t at = kSignatureBytes; at < bytes.size;) {
    const bool first = at == kSignatureBytes;
    const size_t left = bytes.size - at;
    if (left < kFrameBytes) {
      if (pixels_met) break;
      throw DataError("truncated PNG: it ends before its pixels");
    }
    const size_t length = big_u32(bytes.data + at);
    const std::string_view name(reinterpret_cast<const char*>(bytes.data + at + 4), 4);
    const bool is_pixels = name == "IDAT";
    const bool whole = length <= left - kFrameBytes;
    if (first && name != "IHDR") throw DataError("damaged PNG: its first chunk is not a header");
    if (pixels_met && !is_pixels) pixels_over = true;
    if (!is_pixels && !whole) {
      if (pixels_met) break;
      throw DataError("truncated PNG: it ends before its pixels");
    }
    const ByteSpan data(bytes.data + at + 8, whole ? length : left - 8);
    if (!is_pixels && !pixels_met) {
      const uint32_t sum = static_cast<uint32_t>(crc32(0, bytes.data + at + 4, static_cast<uInt>(length + 4)));
      if (sum != big_u32(bytes.data + at + 8 + length))
        throw DataError(text::cat("damaged PNG: wrong checksum in its ", name, " chunk"));
    }
    const size_t part = whole ? length + kFrameBytes : left;
    if (name == "IHDR" && first) {
      read_header(data, layout);
      layout.picture_parts.push_back({at, part});
    } else if (name == "PLTE" && !pixels_met) {
      layout.picture_parts.push_back({at, part});
    } else if (is_pixels && !pixels_over) {
      pixels_met = true;
      layout.pixel_bytes += data.size;
      layout.picture_parts.push_back({at, part});
    } else if (name == "acTL" && data.size >= 4) {
      layout.animated = big_u32(data.data) > 1;
    } else if (name == "eXIf" && layout.orientation == 0) {
      layout.orientation = exif_orientation(data);
    } else if ((name == "zTXt" || name == "tEXt") && raw_profile == 0) {
      raw_profile = raw_profile_orientation(data, name == "zTXt");
    } else if (name == "iTXt" && xmp == 0) {
      xmp = xmp_orientation(xmp_packet(data));
    } else if (name == "IEND") {
      break;
    }
    at += part;
  }
  if (layout.picture_parts.size() == 1) throw DataError("truncated PNG: it ends before its pixels");
  if (!pixels_met) throw DataError("damaged PNG: it has no pixels");
  if (layout.orientation == 0) layout.orientation = raw_profile != 0 ? raw_profile : xmp;
  return layout;
}

}  // namespace engraft::image::codec
