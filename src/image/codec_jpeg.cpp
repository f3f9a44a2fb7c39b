#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>

// jpeglib.h wants stdio's types before it.
#include <jerror.h>
#include <jpeglib.h>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace engraft::image::codec {
namespace {

// Note [Jumps over no destructor]: libjpeg leaves an error by longjmp. Everything with a destructor lives in
// JpegReader, made before setjmp; between setjmp and a jump stand only C values. The reason is kept and thrown after
// the jump.

/// A file of more scans than this is a bomb: each costs a pass over all coefficients.
constexpr int kMostScans = 1000;

struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  bool premature_end = false;
  char reason[JMSG_LENGTH_MAX] = "";
  ImageInfo* info = nullptr;
};

struct ScanWatch {
  jpeg_progress_mgr base;
};

ErrorManager& manager_of(j_common_ptr common) { return *reinterpret_cast<ErrorManager*>(common->err); }

[[noreturn]] void on_error(j_common_ptr common) {
  ErrorManager& manager = manager_of(common);
  common->err->format_message(common, manager.reason);
  std::longjmp(manager.jump, 1);
}

void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;  // trace
  ErrorManager& manager = manager_of(common);
  const int code = common->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER) {
    manager.premature_end = true;
    on_error(common);
  }
  ++common->err->num_warnings;
  char text[JMSG_LENGTH_MAX];
  common->err->format_message(common, text);
  try {
    add_note(*manager.info, text);
  } catch (...) {  // no memory for a note: do without
  }
}

void on_progress(j_common_ptr common) {
  const auto* cinfo = reinterpret_cast<j_decompress_ptr>(common);
  if (cinfo->input_scan_number <= kMostScans) return;
  ErrorManager& manager = manager_of(common);
  std::snprintf(manager.reason, sizeof(manager.reason), "more than %d scans", kMostScans);
  std::longjmp(manager.jump, 1);
}

void on_output(j_common_ptr) {}

uint8_t multiply_255(int a, int b) {
  const int product = a * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

/// Adobe's inverted CMYK to RGB as Pillow's convert() does it without a profile.
void rgb_of_inverted_cmyk(const uint8_t* from, uint8_t* to, int width) {
  for (int x = 0; x < width; ++x, from += 4, to += 3)
    for (int c = 0; c < 3; ++c)
      to[c] = static_cast<uint8_t>(std::max(0, from[3] - multiply_255(255 - from[c], from[3])));
}

class JpegReader {
 public:
  JpegReader(const Request& request, ImageInfo& info) : request_(request), info_(info) {
    cinfo_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = on_error;
    errors_.base.emit_message = on_message;
    errors_.base.output_message = on_output;
    errors_.info = &info_;
    watch_.base.progress_monitor = on_progress;
  }
  ~JpegReader() {
    if (created_) jpeg_destroy_decompress(&cinfo_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  Picture read() {
    if (!read_header()) fail();
    describe();
    check_size(cinfo_.image_width, cinfo_.image_height, request_.max_pixels);
    if (request_.want == Want::kHeader) return {};
    const int denominator = scale_denominator();
    cinfo_.scale_num = 1;
    cinfo_.scale_denom = static_cast<unsigned>(denominator);
    picture_ =
        Picture((info_.width_px + denominator - 1) / denominator, (info_.height_px + denominator - 1) / denominator);
    if (cinfo_.num_components == 4) cmyk_row_.resize(static_cast<size_t>(picture_.width_px) * 4);
    if (!read_pixels()) fail();
    return std::move(picture_);
  }

 private:
  // Note [Jumps over no destructor]
  bool read_header() {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&cinfo_);
    created_ = true;
    jpeg_mem_src(&cinfo_, request_.bytes.data, static_cast<unsigned long>(request_.bytes.size));
    jpeg_save_markers(&cinfo_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_save_markers(&cinfo_, JPEG_APP0 + 2, 16);
    jpeg_read_header(&cinfo_, TRUE);
    return true;
  }

  // Note [Jumps over no destructor]
  bool read_pixels() {
    if (setjmp(errors_.jump) != 0) return false;
    cinfo_.progress = &watch_.base;
    cinfo_.dct_method = JDCT_ISLOW;
    cinfo_.do_fancy_upsampling = TRUE;
    cinfo_.out_color_space = cinfo_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&cinfo_);
    const int width = static_cast<int>(cinfo_.output_width);
    while (cinfo_.output_scanline < cinfo_.output_height) {
      const int y = static_cast<int>(cinfo_.output_scanline);
      if (cinfo_.out_color_space == JCS_CMYK) {
        JSAMPROW row = cmyk_row_.data();
        if (jpeg_read_scanlines(&cinfo_, &row, 1) == 1) rgb_of_inverted_cmyk(cmyk_row_.data(), picture_.row(y), width);
      } else {
        JSAMPROW rows[4];
        const int count = std::min(4, static_cast<int>(cinfo_.output_height) - y);
        for (int i = 0; i < count; ++i) rows[i] = picture_.row(y + i);
        jpeg_read_scanlines(&cinfo_, rows, static_cast<JDIMENSION>(count));
      }
    }
    return true;
  }

  /// 8, 4, 2 or 1. Source: JpegImageFile.draft in Pillow's JpegImagePlugin.py.
  int scale_denominator() const {
    if (request_.least_side_px <= 0) return 1;
    const int scale = std::min(info_.width_px, info_.height_px) / request_.least_side_px;
    return scale >= 8 ? 8 : scale >= 4 ? 4 : scale >= 2 ? 2 : 1;
  }

  [[noreturn]] void fail() {
    throw DataError(text::cat(errors_.premature_end ? "truncated JPEG: " : "damaged JPEG: ", errors_.reason));
  }

  void describe() {
    info_.width_px = static_cast<int>(cinfo_.image_width);
    info_.height_px = static_cast<int>(cinfo_.image_height);
    info_.bits = cinfo_.data_precision;
    info_.progressive = cinfo_.progressive_mode != 0;
    switch (cinfo_.num_components) {
      case 1:
        info_.mode = "grey";
        break;
      case 3:
        info_.mode = "rgb";
        break;
      case 4:
        info_.mode = cinfo_.jpeg_color_space == JCS_YCCK ? "ycck" : "cmyk";
        break;
      default:
        throw DataError(text::cat("damaged JPEG: ", cinfo_.num_components, " colour components, not 1, 3 or 4"));
    }
    if (cinfo_.num_components == 3) info_.subsampling = subsampling();
    int exif = 0, xmp = 0;
    for (const jpeg_marker_struct* m = cinfo_.marker_list; m != nullptr; m = m->next) {
      const ByteSpan block(m->data, m->data_length);
      constexpr char kXmp[] = "http://ns.adobe.com/xap/1.0/";  // with its final zero
      if (m->marker == JPEG_APP0 + 2) {
        if (block.size >= 4 && std::memcmp(block.data, "MPF\0", 4) == 0) info_.animated = true;
      } else if (block.size >= 6 && std::memcmp(block.data, "Exif\0\0", 6) == 0) {
        if (exif == 0) exif = exif_orientation(block);
      } else if (block.size >= sizeof(kXmp) && std::memcmp(block.data, kXmp, sizeof(kXmp)) == 0) {
        if (xmp == 0) xmp = xmp_orientation({block.data + sizeof(kXmp), block.size - sizeof(kXmp)});
      }
    }
    info_.orientation = exif != 0 ? exif : xmp != 0 ? xmp : 1;
  }

  std::string subsampling() const {
    const jpeg_component_info* c = cinfo_.comp_info;
    const bool chroma_alike = c[1].h_samp_factor == c[2].h_samp_factor && c[1].v_samp_factor == c[2].v_samp_factor;
    if (chroma_alike && c[0].h_samp_factor % c[1].h_samp_factor == 0 && c[0].v_samp_factor % c[1].v_samp_factor == 0) {
      const int h = c[0].h_samp_factor / c[1].h_samp_factor, v = c[0].v_samp_factor / c[1].v_samp_factor;
      if (h == 1 && v == 1) return "4:4:4";
      if (h == 2 && v == 1) return "4:2:2";
      if (h == 2 && v == 2) return "4:2:0";
      if (h == 1 && v == 2) return "4:4:0";
      if (h == 4 && v == 1) return "4:1:1";
      if (h == 4 && v == 2) return "4:1:0";
    }
    std::vector<std::string> factors;
    for (int i = 0; i < 3; ++i) factors.push_back(text::cat(c[i].h_samp_factor, "x", c[i].v_samp_factor));
    return text::join(factors, ",");
  }

  const Request& request_;
  ImageInfo& info_;
  jpeg_decompress_struct cinfo_{};
  ErrorManager errors_{};
  ScanWatch watch_{};
  bool created_ = false;
  Picture picture_;
  std::vector<uint8_t> cmyk_row_;
};

}  // namespace

Picture read_jpeg(const Request& request, ImageInfo& info) { return JpegReader(request, info).read(); }

}  // namespace engraft::image::codec
