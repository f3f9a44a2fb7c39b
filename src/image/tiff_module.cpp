#include <tiffio.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "image/picture_module.h"

/// The first picture of a TIFF by libtiff's strips and tiles. Any strip that cannot be decoded whole is an error,
/// which libtiff's own RGBA interface would read as far as it goes; that one mixes alpha in as well.
namespace {

using engraft::image::codec::GivePixels;
using engraft::image::codec::kModuleReasonBytes;

struct Cursor {
  const uint8_t* data;
  toff_t size;
  toff_t at;
};

tmsize_t read_some(thandle_t handle, void* to, tmsize_t count) {
  auto* cursor = static_cast<Cursor*>(handle);
  if (cursor->at >= cursor->size || count <= 0) return 0;
  const auto n = std::min(static_cast<toff_t>(count), cursor->size - cursor->at);
  std::memcpy(to, cursor->data + cursor->at, static_cast<size_t>(n));
  cursor->at += n;
  return static_cast<tmsize_t>(n);
}

toff_t seek(thandle_t handle, toff_t offset, int whence) {
  auto* cursor = static_cast<Cursor*>(handle);
  cursor->at = whence == SEEK_CUR ? cursor->at + offset : whence == SEEK_END ? cursor->size + offset : offset;
  return cursor->at;
}

struct Closer {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
using Tiff = std::unique_ptr<TIFF, Closer>;

struct Layout {
  uint32_t width = 0, height = 0;
  uint16_t bits = 1, samples = 1, photometric = 1, planar = PLANARCONFIG_CONTIG, compression = 1;
  bool premultiplied = false;
  bool tiled = false;
  uint32_t part_width = 0, part_height = 0;
  const uint16_t* map[3] = {nullptr, nullptr, nullptr};

  bool palette() const { return photometric == PHOTOMETRIC_PALETTE; }
  /// Planes that are stored one after the other.
  uint16_t planes() const { return planar == PLANARCONFIG_SEPARATE ? samples : 1; }
  uint16_t samples_a_plane() const { return planar == PLANARCONFIG_SEPARATE ? 1 : samples; }
};

Layout layout_of(TIFF* tiff) {
  Layout l;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &l.compression);
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l.photometric);
  if (TIFFIsCODECConfigured(l.compression) == 0)
    throw std::runtime_error("compression " + std::to_string(l.compression) + " is not supported");
  if (l.photometric == PHOTOMETRIC_YCBCR) {
    if (l.compression != COMPRESSION_JPEG || l.planar != PLANARCONFIG_CONTIG)
      throw std::runtime_error("YCbCr is supported with JPEG compression alone");
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    l.photometric = PHOTOMETRIC_RGB;
  }
  uint16_t extras = 0, *kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds);
  l.premultiplied = extras > 0 && kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  if (l.palette()) {
    uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
    if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue) == 0 || l.bits > 8)
      throw std::runtime_error("a palette picture without a palette");
    l.map[0] = red, l.map[1] = green, l.map[2] = blue;
  }
  const int least = l.photometric == PHOTOMETRIC_RGB ? 3 : l.photometric == PHOTOMETRIC_SEPARATED ? 4 : 1;
  if (l.samples < least || (least > 1 && l.bits < 8))
    throw std::runtime_error(std::to_string(l.samples) + " samples of " + std::to_string(l.bits) + " bits");
  l.tiled = TIFFIsTiled(tiff) != 0;
  l.part_width = l.width;
  if (l.tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &l.part_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &l.part_height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &l.part_height);
    l.part_height = std::min(l.part_height, l.height);
  }
  if (l.part_width == 0 || l.part_height == 0) throw std::runtime_error("strips or tiles without a size");
  return l;
}

/// `count` samples of a packed row as bytes, `step` apart: 16 bits by their high byte; fewer than 8 scaled to 255
/// unless they are palette indices.
void unpack(const uint8_t* from, const Layout& l, size_t count, uint8_t* to, size_t step) {
  if (l.bits == 8) {
    for (size_t i = 0; i < count; ++i) to[i * step] = from[i];
    return;
  }
  if (l.bits == 16) {
    for (size_t i = 0; i < count; ++i) {
      uint16_t value = 0;  // libtiff gives the machine's byte order
      std::memcpy(&value, from + 2 * i, 2);
      to[i * step] = static_cast<uint8_t>(value >> 8);
    }
    return;
  }
  const size_t bits = l.bits, a_byte = 8 / bits;
  const unsigned most = (1u << bits) - 1, scale = l.palette() ? 1 : 255 / most;
  for (size_t i = 0; i < count; ++i) {
    const unsigned value = from[i / a_byte] >> (8 - bits * (i % a_byte + 1)) & most;
    to[i * step] = static_cast<uint8_t>(value * scale);
  }
}

uint8_t multiply_255(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

/// Colours that were multiplied by their alpha, as Pillow divides them.
uint8_t divided(uint8_t value, uint8_t alpha) {
  if (alpha == 0) return 0;
  return static_cast<uint8_t>(std::min(255, value * 255 / alpha));
}

void rgb_row(const uint8_t* from, const Layout& l, uint32_t width, uint8_t* to) {
  const bool rgb = l.photometric == PHOTOMETRIC_RGB, cmyk = l.photometric == PHOTOMETRIC_SEPARATED;
  const int alpha = rgb ? 3 : 1;
  for (uint32_t x = 0; x < width; ++x, from += l.samples, to += 3) {
    for (int c = 0; c < 3; ++c) {
      uint8_t value = from[rgb || cmyk ? c : 0];
      if (l.palette()) {
        value = static_cast<uint8_t>(l.map[c][from[0]] >> 8);
      } else if (cmyk) {
        const int white = 255 - from[3];
        value = static_cast<uint8_t>(std::max(0, white - multiply_255(value, white)));
      } else if (l.premultiplied && l.samples > alpha) {
        value = divided(value, from[alpha]);
      }
      to[c] = l.photometric == PHOTOMETRIC_MINISWHITE ? static_cast<uint8_t>(255 - value) : value;
    }
  }
}

class Reader {
 public:
  Reader(TIFF* tiff, uint8_t* out) : tiff_(tiff), out_(out), layout_(layout_of(tiff)) {}

  void read() {
    const Layout& l = layout_;
    const tmsize_t part_bytes = l.tiled ? TIFFTileSize(tiff_) : TIFFStripSize(tiff_);
    constexpr tmsize_t kMostPartBytes = tmsize_t{1} << 31;
    if (part_bytes <= 0 || part_bytes > kMostPartBytes) throw std::runtime_error("strips or tiles of an absurd size");
    part_.resize(static_cast<size_t>(part_bytes));
    for (uint32_t y = 0; y < l.height; y += std::min(l.part_height, l.height - y))
      for (uint32_t x = 0; x < l.width; x += std::min(l.part_width, l.width - x)) read_part(x, y);
  }

 private:
  void read_part(uint32_t x, uint32_t y) {
    const Layout& l = layout_;
    const uint32_t rows = std::min(l.part_height, l.height - y), columns = std::min(l.part_width, l.width - x);
    const size_t row_samples = static_cast<size_t>(columns) * l.samples;
    samples_.resize(row_samples * rows);
    const auto row_bytes = static_cast<size_t>(l.tiled ? TIFFTileRowSize(tiff_) : TIFFScanlineSize(tiff_));
    for (uint16_t plane = 0; plane < l.planes(); ++plane) {
      fetch(x, y, rows, plane);
      if (row_bytes * rows > part_.size()) throw std::runtime_error("strips or tiles shorter than their rows");
      for (uint32_t row = 0; row < rows; ++row)
        unpack(part_.data() + row * row_bytes, l, static_cast<size_t>(columns) * l.samples_a_plane(),
               samples_.data() + row * row_samples + plane, l.planes());
    }
    for (uint32_t row = 0; row < rows; ++row)
      rgb_row(samples_.data() + row * row_samples, l, columns, out_ + (static_cast<size_t>(y + row) * l.width + x) * 3);
  }

  void fetch(uint32_t x, uint32_t y, uint32_t rows, uint16_t plane) {
    const uint32_t index = layout_.tiled ? TIFFComputeTile(tiff_, x, y, 0, plane) : TIFFComputeStrip(tiff_, y, plane);
    const tmsize_t expected = layout_.tiled ? static_cast<tmsize_t>(part_.size()) : TIFFVStripSize(tiff_, rows);
    const tmsize_t got = layout_.tiled ? TIFFReadEncodedTile(tiff_, index, part_.data(), expected)
                                       : TIFFReadEncodedStrip(tiff_, index, part_.data(), expected);
    if (got != expected)
      throw std::runtime_error((layout_.tiled ? "tile " : "strip ") + std::to_string(index) + " cannot be decoded");
  }

  TIFF* tiff_;
  uint8_t* out_;
  Layout layout_;
  std::vector<uint8_t> part_;
  std::vector<uint8_t> samples_;
};

int refuse(char* reason, const char* words) {
  std::snprintf(reason, kModuleReasonBytes, "%s", words);
  return 1;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int engraft_read_picture_1(const uint8_t* bytes, size_t size,
                                                                             GivePixels give, void* user,
                                                                             char* reason) try {
  static std::once_flag silenced;
  std::call_once(silenced, [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
  });
  Cursor cursor{bytes, size, 0};
  // "m": no mapping, so that every read goes through the cursor and its bounds.
  const Tiff tiff(TIFFClientOpen(
      "picture", "rm", &cursor, read_some, [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; }, seek,
      [](thandle_t) { return 0; }, [](thandle_t handle) { return static_cast<Cursor*>(handle)->size; }, nullptr,
      nullptr));
  if (tiff == nullptr) return refuse(reason, "its first directory cannot be read");
  uint32_t width = 0, height = 0;
  TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height);
  uint8_t* out = give(user, static_cast<int>(width), static_cast<int>(height));
  if (out == nullptr) return refuse(reason, "its pixels do not fit its headers, or memory");
  Reader(tiff.get(), out).read();
  return 0;
} catch (const std::exception& error) {
  return refuse(reason, error.what());
} catch (...) {
  return refuse(reason, "an unknown failure");
}
