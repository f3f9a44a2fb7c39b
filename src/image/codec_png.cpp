#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/png_chunks.h"

namespace engraft::image::codec {
namespace {

constexpr size_t kReasonBytes = 160;

/// libpng's side of the reader. It leaves an error by longjmp, so that nothing with a destructor may live between
/// setjmp and the jump: all of it is in PngReader, and the reason is thrown after the jump.
struct PngState {
  const PngLayout* layout = nullptr;
  ByteSpan bytes;
  size_t part = 0;
  size_t at = 0;
  bool out_of_data = false;
  char reason[kReasonBytes] = "";
  ImageInfo* info = nullptr;
};

void on_error(png_structp png, png_const_charp message) {
  auto& state = *static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state.reason, sizeof(state.reason), "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp png, png_const_charp message) {
  auto& state = *static_cast<PngState*>(png_get_error_ptr(png));
  // zlib's checksum over the pixels is only a warning to libpng, but the pixels are not what was written.
  if (std::strstr(message, "incorrect data check") != nullptr) on_error(png, message);
  try {
    add_note(*state.info, message);
  } catch (...) {  // no memory for a note: do without
  }
}

/// Gives libpng the parts of the file that hold the picture: text, profiles and the like are never parsed.
void on_read(png_structp png, png_bytep to, size_t count) {
  auto& state = *static_cast<PngState*>(png_get_io_ptr(png));
  while (count > 0) {
    if (state.part == state.layout->picture_parts.size()) {
      state.out_of_data = true;
      png_error(png, "its pixels end too soon");
    }
    const PngPart& part = state.layout->picture_parts[state.part];
    const size_t n = std::min(count, part.size - state.at);
    std::memcpy(to, state.bytes.data + part.offset + state.at, n);
    to += n;
    count -= n;
    state.at += n;
    if (state.at == part.size) {
      ++state.part;
      state.at = 0;
    }
  }
}

class PngReader {
 public:
  PngReader(const Request& request, const PngLayout& layout, ImageInfo& info)
      : info_(info), palette_(layout.color_type == PNG_COLOR_TYPE_PALETTE) {
    state_.layout = &layout;
    state_.bytes = request.bytes;
    state_.info = &info;
  }
  ~PngReader() { png_destroy_read_struct(&png_, &header_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  Picture read() {
    picture_ = Picture(info_.width_px, info_.height_px);
    const auto height = static_cast<size_t>(info_.height_px);
    const size_t row_bytes = static_cast<size_t>(info_.width_px) * (palette_ ? 1 : 3);
    if (palette_) indices_.resize(row_bytes * height);
    uint8_t* first = palette_ ? indices_.data() : picture_.pixels.data();
    rows_.resize(height);
    for (size_t y = 0; y < height; ++y) rows_[y] = first + y * row_bytes;

    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state_, on_error, on_warning);
    if (png_ != nullptr) header_ = png_create_info_struct(png_);
    if (header_ == nullptr) throw DataError("PNG: libpng cannot be set up");
    if (!read_pixels(row_bytes))
      throw DataError(text::cat(state_.out_of_data ? "truncated PNG: " : "damaged PNG: ", state_.reason));
    if (palette_) look_up();
    return std::move(picture_);
  }

 private:
  bool read_pixels(size_t row_bytes) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, &state_, on_read);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    // Checksums of the chunks before the pixels are checked by png_layout; Pillow does not look at those of the pixels.
    png_set_crc_action(png_, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    png_set_check_for_invalid_index(png_, 0);
    png_read_info(png_, header_);
    if (palette_) {
      png_set_packing(png_);
    } else {
      png_set_strip_16(png_);
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_strip_alpha(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, header_);
    if (png_get_rowbytes(png_, header_) != row_bytes) png_error(png_, "its rows have an unexpected length");
    png_read_image(png_, rows_.data());
    if (palette_) keep_palette();
    return true;
  }

  void keep_palette() {
    png_colorp given = nullptr;
    int count = 0;
    png_get_PLTE(png_, header_, &given, &count);
    for (size_t i = 0; i < colours_.size(); ++i) {
      const auto ramp = static_cast<uint8_t>(i);  // what Pillow shows for colours the file does not give
      if (i < static_cast<size_t>(count))
        colours_[i] = {given[i].red, given[i].green, given[i].blue};
      else
        colours_[i] = {ramp, ramp, ramp};
    }
  }

  void look_up() {
    uint8_t* to = picture_.pixels.data();
    for (const uint8_t index : indices_) to = std::copy(colours_[index].begin(), colours_[index].end(), to);
  }

  ImageInfo& info_;
  const bool palette_;
  PngState state_;
  png_structp png_ = nullptr;
  png_infop header_ = nullptr;
  Picture picture_;
  std::vector<uint8_t> indices_;
  std::vector<png_bytep> rows_;
  std::array<std::array<uint8_t, 3>, 256> colours_{};
};

const char* mode_of(int color_type) {
  switch (color_type) {
    case PNG_COLOR_TYPE_GRAY:
      return "grey";
    case PNG_COLOR_TYPE_GRAY_ALPHA:
      return "grey+alpha";
    case PNG_COLOR_TYPE_PALETTE:
      return "palette";
    case PNG_COLOR_TYPE_RGB:
      return "rgb";
    case PNG_COLOR_TYPE_RGB_ALPHA:
      return "rgba";
    default:
      throw DataError(text::cat("damaged PNG: colour type ", color_type));
  }
}

}  // namespace

Picture read_png(const Request& request, ImageInfo& info) {
  const PngLayout layout = png_layout(request.bytes);
  info.width_px = layout.width_px;
  info.height_px = layout.height_px;
  info.mode = mode_of(layout.color_type);
  info.bits = layout.bits;
  info.progressive = layout.interlaced;
  info.animated = layout.animated;
  if (layout.orientation != 0) info.orientation = layout.orientation;
  check_size(info.width_px, info.height_px, request.max_pixels);
  if (request.want == Want::kHeader) return {};
  // Deflate shrinks by 1032 at most: what cannot hold the pixels is refused before memory is taken for them.
  constexpr uint64_t kMostDeflate = 1032;
  const uint64_t row_bits = static_cast<uint64_t>(info.width_px) * static_cast<uint64_t>(layout.bits_a_pixel());
  const uint64_t raw_bytes = (row_bits / 8 + 1) * static_cast<uint64_t>(info.height_px);
  if (raw_bytes / kMostDeflate > layout.pixel_bytes + 64) throw DataError("truncated PNG: its pixels end too soon");
  return PngReader(request, layout, info).read();
}

}  // namespace engraft::image::codec
