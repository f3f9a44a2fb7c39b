#pragma once

#include <cstdint>
#include <string>

#include "image/decode.h"
#include "image/picture.h"

/// The decoders behind decode(), one .cpp each. Private to this folder.
///
/// Each fills `info` but for `format`, and gives the pixels of the first picture, unturned; with Want::kHeader an
/// empty picture. Throws DataError with the reason alone.
namespace engraft::image::codec {

enum class Want { kHeader, kPixels };

struct Request {
  ByteSpan bytes;
  int64_t max_pixels = 0;
  Want want = Want::kPixels;
  /// As DecodeOptions has it; of JPEG alone.
  int least_side_px = 0;
};

Picture read_jpeg(const Request& request, ImageInfo& info);
Picture read_png(const Request& request, ImageInfo& info);
Picture read_webp(const Request& request, ImageInfo& info);
Picture read_gif(const Request& request, ImageInfo& info);
Picture read_bmp(const Request& request, ImageInfo& info);
/// TIFF, PNM and JPEG 2000, by a module: `info.format` says which.
Picture read_other(const Request& request, ImageInfo& info);

/// Reads the headers of TIFF, PNM or JPEG 2000 (by `info.format`) and refuses a file whose pixels are not all there.
void inspect_other(ByteSpan bytes, ImageInfo& info);

/// Throws DataError unless 0 < width, height and width * height <= max_pixels.
void check_size(int64_t width, int64_t height, int64_t max_pixels);

/// Keeps at most 16 notes.
void add_note(ImageInfo& info, const std::string& note);

}  // namespace engraft::image::codec
