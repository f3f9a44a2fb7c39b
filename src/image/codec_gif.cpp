#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"

namespace engraft::image::codec {
namespace {

struct Cursor {
  ByteSpan bytes;
  size_t at = 0;
};

int read_some(GifFileType* file, GifByteType* to, int count) {
  auto& cursor = *static_cast<Cursor*>(file->UserData);
  const size_t left = cursor.bytes.size - cursor.at;
  const size_t n = std::min(left, static_cast<size_t>(std::max(count, 0)));
  if (n > 0) std::memcpy(to, cursor.bytes.data + cursor.at, n);
  cursor.at += n;
  return static_cast<int>(n);
}

struct GifCloser {
  void operator()(GifFileType* file) const { DGifCloseFile(file, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, GifCloser>;

[[noreturn]] void fail(int code) {
  const bool short_of_data = code == D_GIF_ERR_READ_FAILED || code == D_GIF_ERR_EOF_TOO_SOON || code == 0;
  const char* words = GifErrorString(code);
  std::string reason = text::lower(words != nullptr ? words : "its data ends too soon");
  throw DataError(text::cat(short_of_data ? "truncated GIF: " : "damaged GIF: ", reason));
}

void need(int result, const Gif& gif) {
  if (result == GIF_ERROR) fail(gif->Error);
}

/// Skips to the first picture; the transparent colour of the control block before it, if there is one.
std::optional<int> find_picture(const Gif& gif) {
  std::optional<int> transparent;
  for (;;) {
    GifRecordType kind = UNDEFINED_RECORD_TYPE;
    need(DGifGetRecordType(gif.get(), &kind), gif);
    if (kind == IMAGE_DESC_RECORD_TYPE) break;
    if (kind == TERMINATE_RECORD_TYPE) throw DataError("damaged GIF: no picture in it");
    if (kind != EXTENSION_RECORD_TYPE) continue;
    int code = 0;
    GifByteType* block = nullptr;
    need(DGifGetExtension(gif.get(), &code, &block), gif);
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0)
      transparent = block[4];
    while (block != nullptr) need(DGifGetExtensionNext(gif.get(), &block), gif);
  }
  need(DGifGetImageDesc(gif.get()), gif);
  return transparent;
}

/// 256 colours; those the file does not give are grey ramps, as Pillow's.
std::array<std::array<uint8_t, 3>, 256> palette_of(const Gif& gif) {
  std::array<std::array<uint8_t, 3>, 256> colours;
  for (size_t i = 0; i < 256; ++i) colours[i].fill(static_cast<uint8_t>(i));
  const ColorMapObject* map = gif->Image.ColorMap != nullptr ? gif->Image.ColorMap : gif->SColorMap;
  const size_t given = map == nullptr ? 0 : static_cast<size_t>(std::clamp(map->ColorCount, 0, 256));
  for (size_t i = 0; i < given; ++i) colours[i] = {map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue};
  return colours;
}

/// Rows of a picture in the order the file holds them: GIF89a, appendix E.
std::vector<int> row_order(int height, bool interlaced) {
  std::vector<int> rows;
  rows.reserve(static_cast<size_t>(height));
  constexpr int kFirst[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  if (!interlaced)
    for (int y = 0; y < height; ++y) rows.push_back(y);
  else
    for (int pass = 0; pass < 4; ++pass)
      for (int y = kFirst[pass]; y < height; y += kStep[pass]) rows.push_back(y);
  return rows;
}

/// Whether a picture follows the one just read; damage there is none of the first picture's.
bool another_picture(const Gif& gif) {
  for (;;) {
    GifRecordType kind = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(gif.get(), &kind) == GIF_ERROR || kind == TERMINATE_RECORD_TYPE) return false;
    if (kind == IMAGE_DESC_RECORD_TYPE) return true;
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif.get(), &code, &block) == GIF_ERROR) return false;
    while (block != nullptr)
      if (DGifGetExtensionNext(gif.get(), &block) == GIF_ERROR) return false;
  }
}

}  // namespace

Picture read_gif(const Request& request, ImageInfo& info) {
  Cursor cursor{request.bytes};
  int code = 0;
  const Gif gif(DGifOpen(&cursor, read_some, &code));
  if (gif == nullptr) fail(code);
  const std::optional<int> transparent = find_picture(gif);
  const GifImageDesc& frame = gif->Image;
  if (frame.Left < 0 || frame.Top < 0 || frame.Width <= 0 || frame.Height <= 0)
    throw DataError("damaged GIF: an empty picture");
  // A frame that reaches over the canvas makes it larger, as in Pillow.
  info.width_px = std::max(gif->SWidth, frame.Left + frame.Width);
  info.height_px = std::max(gif->SHeight, frame.Top + frame.Height);
  info.mode = "palette";
  info.progressive = frame.Interlace;
  check_size(info.width_px, info.height_px, request.max_pixels);
  if (request.want == Want::kHeader) return {};

  const auto colours = palette_of(gif);
  Picture picture(info.width_px, info.height_px);
  // Around the frame lies the transparent colour, else colour 0.
  const auto& around = colours[static_cast<size_t>(transparent.value_or(0))];
  for (size_t i = 0; i < picture.pixels.size(); i += 3) std::copy(around.begin(), around.end(), &picture.pixels[i]);

  std::vector<GifPixelType> indices(static_cast<size_t>(frame.Width));
  for (const int y : row_order(frame.Height, frame.Interlace)) {
    need(DGifGetLine(gif.get(), indices.data(), frame.Width), gif);
    uint8_t* to = picture.row(frame.Top + y) + static_cast<size_t>(frame.Left) * 3;
    for (const GifPixelType index : indices) to = std::copy(colours[index].begin(), colours[index].end(), to);
  }
  info.animated = another_picture(gif);
  return picture;
}

}  // namespace engraft::image::codec
