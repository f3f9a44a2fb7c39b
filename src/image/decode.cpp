#include "image/decode.h"

#include <cctype>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace engraft::image {
namespace {

/// The first bytes as a reader would type them, others as \xNN.
std::string shown(std::string_view start) {
  std::string out;
  for (const char c : start) {
    const auto byte = static_cast<unsigned char>(c);
    constexpr char kHex[] = "0123456789abcdef";
    if (byte >= 0x20 && byte < 0x7f)
      out += c;
    else
      out += std::string("\\x") + kHex[byte >> 4] + kHex[byte & 15];
  }
  return out;
}

[[noreturn]] void refuse(std::string_view start) {
  struct Known {
    size_t offset;
    std::string_view magic;
    const char* name;
  };
  static constexpr Known kKnown[] = {
      {4, "ftypavi", "AVIF pictures are not supported"},  {4, "ftyphei", "HEIC pictures are not supported"},
      {4, "ftypmif1", "HEIF pictures are not supported"}, {0, "\x76\x2f\x31\x01", "OpenEXR pictures hold floats"},
      {0, "#?RADIANCE", "Radiance pictures hold floats"}, {0, "8BPS", "Photoshop files are not supported"},
      {0, "%PDF", "a PDF document, not an image"},        {0, "PK\x03\x04", "a ZIP archive, not an image"},
      {0, "\x1f\x8b", "a gzip archive, not an image"},
  };
  for (const Known& known : kKnown)
    if (start.size() > known.offset && text::starts_with(start.substr(known.offset), known.magic))
      throw DataError(known.name);
  if (text::starts_with(start, std::string_view("\0\0\1\0", 4))) throw DataError("ICO pictures are not supported");
  if (text::starts_with(start, "\x89PNG")) throw DataError("damaged PNG: its signature was changed in transfer");
  throw DataError("not an image: starts with '" + shown(start.substr(0, 8)) + "'");
}

std::string format_of(ByteSpan bytes) {
  if (bytes.size == 0) throw DataError("empty file");
  const std::string_view start(reinterpret_cast<const char*>(bytes.data), std::min<size_t>(bytes.size, 32));
  const auto is = [&](std::string_view magic) { return text::starts_with(start, magic); };
  if (is("\xff\xd8\xff")) return "jpeg";
  if (is("\x89PNG\r\n\x1a\n")) return "png";
  if (is("RIFF") && start.size() >= 12 && start.substr(8, 4) == "WEBP") return "webp";
  if (is("GIF87a") || is("GIF89a")) return "gif";
  if (is("BM") && start.size() >= 26) return "bmp";
  if (is(std::string_view("II*\0", 4)) || is(std::string_view("MM\0*", 4))) return "tiff";
  if (is(std::string_view("\0\0\0\x0cjP  ", 8)) || is("\xff\x4f\xff\x51")) return "jpeg2000";
  if (start.size() >= 3 && start[0] == 'P' && start[1] >= '1' && start[1] <= '6' &&
      (std::isspace(static_cast<unsigned char>(start[2])) || start[2] == '#'))
    return "pnm";
  refuse(start);
}

Picture read(const codec::Request& request, ImageInfo& info) {
  if (info.format == "jpeg") return codec::read_jpeg(request, info);
  if (info.format == "png") return codec::read_png(request, info);
  if (info.format == "webp") return codec::read_webp(request, info);
  if (info.format == "gif") return codec::read_gif(request, info);
  if (info.format == "bmp") return codec::read_bmp(request, info);
  return codec::read_other(request, info);
}

}  // namespace

namespace codec {

void check_size(int64_t width, int64_t height, int64_t max_pixels) {
  if (width <= 0 || height <= 0) throw DataError(text::cat("a picture of ", width, "x", height, " pixels"));
  if (width > max_pixels / height)
    throw DataError(text::cat(width, "x", height, " pixels are more than the limit of ", max_pixels));
}

void add_note(ImageInfo& info, const std::string& note) {
  constexpr size_t kMost = 16;
  if (info.notes.size() < kMost) info.notes.push_back(note);
}

}  // namespace codec

Decoded decode(ByteSpan bytes, const DecodeOptions& options) {
  Decoded out;
  out.info.format = format_of(bytes);
  out.picture = read({bytes, options.max_pixels, codec::Want::kPixels, options.least_side_px}, out.info);
  const bool turns = options.exif || out.info.format == "tiff";
  if (turns) out.picture = upright(std::move(out.picture), out.info.orientation);
  return out;
}

ImageInfo probe(ByteSpan bytes) {
  ImageInfo info;
  info.format = format_of(bytes);
  read({bytes, INT64_MAX, codec::Want::kHeader}, info);
  return info;
}

}  // namespace engraft::image
