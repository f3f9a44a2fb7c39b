#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/picture.h"

namespace engraft::image::codec {

struct PngPart {
  size_t offset = 0;
  size_t size = 0;
};

/// What the chunks of a PNG say before any pixel is inflated (PNG specification, third edition, chapters 5 and 11).
struct PngLayout {
  int width_px = 0;
  int height_px = 0;
  int bits = 8;
  int color_type = 0;
  bool interlaced = false;
  /// Has an acTL chunk of more than one frame.
  bool animated = false;
  /// From eXIf, else from ImageMagick's raw profile in a text chunk, else from an uncompressed XMP packet; 0 where
  /// there is none.
  int orientation = 0;
  /// Bytes in all IDAT chunks.
  uint64_t pixel_bytes = 0;
  /// The signature and the whole IHDR, PLTE and IDAT chunks, in the file's order; the last may be cut by its end.
  std::vector<PngPart> picture_parts;

  int bits_a_pixel() const;
};

/// Walks the chunks. As Pillow, the checksums of all chunks before the pixels must be right, those of the pixels are
/// not looked at, and damage after them does not matter.
/// Throws DataError: truncated, a wrong checksum, no IHDR first, no IDAT, an unknown compression or filter method.
PngLayout png_layout(ByteSpan bytes);

}  // namespace engraft::image::codec
