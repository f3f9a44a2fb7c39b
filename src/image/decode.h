#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "image/picture.h"

namespace engraft::image {

/// What a file's headers say.
struct ImageInfo {
  /// "jpeg", "png", "webp", "gif", "bmp", "tiff", "pnm" or "jpeg2000"; by content, never by a file's name.
  std::string format;
  /// How colours are stored: "grey", "grey+alpha", "rgb", "rgba", "palette", "cmyk", "ycck".
  std::string mode;
  /// Bits a channel.
  int bits = 8;
  /// As stored, before any orientation is applied.
  int width_px = 0;
  int height_px = 0;
  /// Progressive JPEG, interlaced PNG or GIF.
  bool progressive = false;
  /// Has more than the one picture that is read (GIF, WebP, APNG, MPO, TIFF).
  bool animated = false;
  /// Chroma subsampling of a JPEG in colour: "4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", or the factors "2x1,1x2,1x1".
  std::string subsampling;
  /// EXIF orientation 1 to 8; 1 where there is none or it is out of range. Of JPEG, PNG, WebP and TIFF.
  int orientation = 1;
  /// Complaints of the decoder that are not damage.
  std::vector<std::string> notes;
};

struct DecodeOptions {
  /// Turn the picture upright by its EXIF orientation, as Pillow's ImageOps.exif_transpose does. TIFF's orientation
  /// tag belongs to the format and is always followed, as Pillow does.
  bool exif = false;
  /// Above 0: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, the least at which both sides are at least so long
  /// (the length divided by 2, 4 or 8, rounded down, counts), with the pixels of Pillow's draft(). 0: always whole.
  int least_side_px = 0;
  /// Pictures of more pixels are refused, by their whole size. The default is where Pillow refuses a decompression
  /// bomb.
  int64_t max_pixels = 178956970;
};

struct Decoded {
  Picture picture;
  ImageInfo info;
};

/// The first picture in `bytes` as 8-bit RGB, with the pixels of Pillow's `Image.open(f).convert("RGB")`: grey is
/// replicated, palettes are looked up, alpha is dropped, CMYK is converted without a profile. 16-bit channels give
/// their high byte (Pillow clips 16-bit grey instead).
///
/// Never half a picture: throws DataError with the reason alone (the caller knows the path), as
/// "truncated JPEG: premature end of JPEG file", "not an image: starts with '<html'", "empty file",
/// "30000x30000 pixels are more than the limit of 178956970". Thread-safe.
///
/// TIFF is read by libtiff, PNM and JPEG 2000 by OpenCV, each in a module that is loaded when the first such file is
/// met: engraft_tiff.so and engraft_imgcodecs.so in $ENGRAFT_PLUGIN_DIR, else in ../lib/engraft or ../../lib/engraft
/// from the program's folder.
Decoded decode(ByteSpan bytes, const DecodeOptions& options = {});

/// The headers alone, for a fraction of the cost. Throws DataError where they are damaged; the pixels may still be.
ImageInfo probe(ByteSpan bytes);

}  // namespace engraft::image
