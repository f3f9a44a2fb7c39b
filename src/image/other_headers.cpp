#include <algorithm>
#include <climits>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/byte_reader.h"
#include "image/codecs.h"

namespace engraft::image::codec {
namespace {

/// Baseline TIFF 6.0: the tags of the first directory as numbers.
class TiffDirectory {
 public:
  TiffDirectory(const ByteReader& r) : r_(r) {
    const uint64_t at = r.u32(4);
    const uint32_t entries = r.u16(at);
    for (uint32_t i = 0; i < entries; ++i) {
      const uint64_t entry = at + 2 + 12 * static_cast<uint64_t>(i);
      places_[r.u16(entry)] = entry;
    }
    more_ = r.u32(at + 2 + 12 * static_cast<uint64_t>(entries)) != 0;
  }
  bool more() const { return more_; }
  bool has(uint32_t tag) const { return places_.count(tag) != 0; }
  uint64_t count(uint32_t tag) const { return has(tag) ? r_.u32(places_.at(tag) + 4) : 0; }
  uint64_t value(uint32_t tag, uint64_t otherwise, uint64_t index = 0) const {
    if (!has(tag)) return otherwise;
    const uint64_t entry = places_.at(tag);
    const uint32_t type = r_.u16(entry + 2);
    const uint64_t each = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
    if (each == 0) r_.damaged(text::cat("tag ", tag, " is no whole number"));
    const uint64_t values = r_.u32(entry + 4);
    if (index >= values) r_.damaged(text::cat("tag ", tag, " has ", values, " values"));
    const uint64_t at = (values * each <= 4 ? entry + 8 : r_.u32(entry + 8)) + index * each;
    return each == 1 ? r_.u8(at) : each == 2 ? r_.u16(at) : r_.u32(at);
  }

 private:
  const ByteReader& r_;
  std::map<uint32_t, uint64_t> places_;
  bool more_ = false;
};

/// Every strip or tile must lie inside the file, and hold its pixels where it is not compressed.
void check_tiff_parts(const ByteReader& r, const TiffDirectory& tags, const ImageInfo& info, uint64_t samples) {
  const bool tiled = tags.has(324);
  const auto width = static_cast<uint64_t>(info.width_px), height = static_cast<uint64_t>(info.height_px);
  const uint64_t part_width = tiled ? tags.value(322, 0) : width;
  const uint64_t part_height =
      std::min(tiled ? tags.value(323, 0) : tags.value(278, height), tiled ? UINT64_MAX : height);
  if (part_width == 0 || part_height == 0) r.damaged("strips or tiles without a size");
  const bool planar = tags.value(284, 1) == 2;
  const uint64_t across = (width + part_width - 1) / part_width, down = (height + part_height - 1) / part_height;
  const uint64_t parts = across * down * (planar ? samples : 1);
  const uint32_t offsets = tiled ? 324 : 273, sizes = tiled ? 325 : 279;
  if (tags.count(offsets) < parts) r.damaged(text::cat(tags.count(offsets), " strips or tiles, not ", parts));
  const bool compressed = tags.value(259, 1) != 1;
  const uint64_t bits = static_cast<uint64_t>(info.bits) * (planar ? 1 : samples);
  for (uint64_t i = 0; i < parts; ++i) {
    const uint64_t rows = tiled ? part_height : std::min(part_height, height - part_height * (i % down));
    const uint64_t raw = (part_width * bits + 7) / 8 * rows;
    const uint64_t given = tags.has(sizes) ? tags.value(sizes, 0, i) : compressed ? 1 : raw;
    if (given == 0 || (!compressed && given < raw)) r.damaged("a strip or tile is shorter than its pixels");
    r.need(tags.value(offsets, 0, i), given);
  }
}

void inspect_tiff(ByteSpan bytes, ImageInfo& info) {
  const ByteReader r(bytes, "TIFF", bytes.data[0] == 'I');
  const TiffDirectory tags(r);
  r.set_size(static_cast<int64_t>(tags.value(256, 0)), static_cast<int64_t>(tags.value(257, 0)), info);
  const uint64_t samples = tags.value(277, 1);
  info.bits = static_cast<int>(tags.value(258, 1));
  for (uint64_t i = 1; i < tags.count(258); ++i)
    if (tags.value(258, 0, i) != static_cast<uint64_t>(info.bits)) r.unsupported("samples of different widths");
  if (info.bits != 1 && info.bits != 2 && info.bits != 4 && info.bits != 8 && info.bits != 16)
    r.unsupported(text::cat("samples of ", info.bits, " bits"));
  if (const uint64_t kind = tags.value(339, 1); kind != 1 && kind != 4)
    r.unsupported("signed or floating-point samples");
  const uint64_t photometric = tags.value(262, 1);
  switch (photometric) {
    case 0:
    case 1:
      info.mode = samples > 1 ? "grey+alpha" : "grey";
      break;
    case 2:
      info.mode = samples > 3 ? "rgba" : "rgb";
      break;
    case 3:
      info.mode = "palette";
      break;
    case 5:
      info.mode = "cmyk";
      break;
    case 6:
      info.mode = "rgb";
      break;
    default:
      r.unsupported(text::cat("photometric interpretation ", photometric));
  }
  const uint64_t orientation = tags.value(274, 1);
  info.orientation = orientation >= 1 && orientation <= 8 ? static_cast<int>(orientation) : 1;
  info.animated = tags.more();
  check_tiff_parts(r, tags, info, samples);
}

/// The whitespace-separated numbers of a PNM header; `#` starts a comment. http://netpbm.sourceforge.net/doc/
class PnmHeader {
 public:
  explicit PnmHeader(const ByteReader& r) : r_(r) {}
  int64_t number() {
    for (;;) {
      const uint32_t c = r_.u8(at_);
      if (c == '#')
        while (r_.u8(at_) != '\n') ++at_;
      else if (c != ' ' && (c < '\t' || c > '\r'))
        break;
      else
        ++at_;
    }
    int64_t value = 0;
    const uint64_t start = at_;
    for (; at_ < r_.size() && r_.u8(at_) >= '0' && r_.u8(at_) <= '9' && at_ - start < 10; ++at_)
      value = value * 10 + (r_.u8(at_) - '0');
    if (at_ == start) r_.damaged("a header without its numbers");
    return value;
  }
  uint64_t at() const { return at_; }

 private:
  const ByteReader& r_;
  uint64_t at_ = 2;
};

void inspect_pnm(ByteSpan bytes, ImageInfo& info) {
  const ByteReader r(bytes, "PNM", true);
  const int kind = bytes.data[1] - '0';  // 1 to 3 in text, 4 to 6 binary
  PnmHeader header(r);
  const int64_t width = header.number(), height = header.number();
  r.set_size(width, height, info);
  const bool bitmap = kind == 1 || kind == 4;
  const int64_t most = bitmap ? 1 : header.number();
  if (most < 1 || most > 65535) r.damaged(text::cat("a largest value of ", most));
  if (most != 1 && most != 255 && most != 65535) r.unsupported(text::cat("a largest value of ", most));
  if (most == 1 && !bitmap) r.unsupported("a largest value of 1");
  const bool colour = kind == 3 || kind == 6;
  info.mode = colour ? "rgb" : "grey";
  info.bits = bitmap ? 1 : most > 255 ? 16 : 8;
  const auto columns = static_cast<uint64_t>(width) * (colour ? 3 : 1), rows = static_cast<uint64_t>(height);
  if (kind >= 4) {
    r.need(header.at() + 1, (columns * static_cast<uint64_t>(info.bits) + 7) / 8 * rows);
    return;
  }
  uint64_t numbers = 0;
  bool inside = false;
  for (uint64_t i = header.at(); i < r.size(); ++i) {
    const bool digit = r.u8(i) >= '0' && r.u8(i) <= '9';
    if (digit && (bitmap || !inside)) ++numbers;
    inside = digit;
  }
  if (numbers < columns * rows) r.truncated();
}

/// ISO/IEC 15444-1, annexes A and I: the SIZ marker, and an end-of-codestream marker where the data end.
void inspect_jpeg2000(ByteSpan bytes, ImageInfo& info) {
  const ByteReader r(bytes, "JPEG 2000", false);
  uint64_t begin = 0, end = r.size();
  if (bytes.data[0] == 0) {
    for (uint64_t at = 0;;) {
      uint64_t length = r.u32(at), head = 8;
      const bool codestream = std::memcmp(r.need(at + 4, 4), "jp2c", 4) == 0;
      if (length == 1) {
        length = static_cast<uint64_t>(r.u32(at + 8)) << 32 | r.u32(at + 12);
        head = 16;
      } else if (length == 0) {
        length = r.size() - at;
      }
      if (length < head) r.damaged("a box shorter than its header");
      r.need(at, length);
      if (codestream) {
        begin = at + head;
        end = at + length;
        break;
      }
      at += length;
    }
  }
  if (r.u32(begin) != 0xFF4FFF51) r.damaged("a codestream without its size");
  const int64_t left = r.u32(begin + 16), top = r.u32(begin + 20);
  r.set_size(r.u32(begin + 8) - left, r.u32(begin + 12) - top, info);
  const uint32_t components = r.u16(begin + 40);
  if (components < 1 || components > 4) r.unsupported(text::cat(components, " components"));
  static constexpr const char* kModes[] = {"grey", "grey+alpha", "rgb", "rgba"};
  info.mode = kModes[components - 1];
  info.bits = static_cast<int>((r.u8(begin + 42) & 0x7f) + 1);
  for (uint32_t i = 0; i < components; ++i) {
    const uint64_t at = begin + 42 + 3 * static_cast<uint64_t>(i);
    if (r.u8(at) != static_cast<uint32_t>(info.bits - 1))
      r.unsupported("signed samples or samples of different widths");
    if (r.u8(at + 1) != 1 || r.u8(at + 2) != 1) r.unsupported("subsampled components");
  }
  if (info.bits != 8 && info.bits != 16) r.unsupported(text::cat("samples of ", info.bits, " bits"));
  if (end - begin < 2 || r.u16(end - 2) != 0xFFD9) r.truncated();
}

}  // namespace

void inspect_other(ByteSpan bytes, ImageInfo& info) {
  if (info.format == "tiff") return inspect_tiff(bytes, info);
  if (info.format == "pnm") return inspect_pnm(bytes, info);
  inspect_jpeg2000(bytes, info);
}

}  // namespace engraft::image::codec
