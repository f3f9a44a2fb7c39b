#include "image/encode.h"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>

// jpeglib.h wants stdio's types before it.
#include <jpeglib.h>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::image {
namespace {

void check(const Picture& picture) {
  const size_t expected = static_cast<size_t>(picture.width_px) * static_cast<size_t>(picture.height_px) * 3;
  if (picture.width_px <= 0 || picture.height_px <= 0 || picture.pixels.size() != expected)
    throw DataError(text::cat("cannot encode a picture of ", picture.width_px, "x", picture.height_px, " pixels in ",
                              picture.pixels.size(), " bytes"));
}

/// libjpeg leaves an error by longjmp: everything with a destructor lives here, not between setjmp and the jump.
class JpegWriter {
 public:
  JpegWriter(const Picture& picture, int quality) : picture_(picture), quality_(quality) {
    cinfo_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr common) {
      auto& errors = *reinterpret_cast<Errors*>(common->err);
      common->err->format_message(common, errors.reason);
      std::longjmp(errors.jump, 1);
    };
    errors_.base.output_message = [](j_common_ptr) {};
  }
  ~JpegWriter() {
    jpeg_destroy_compress(&cinfo_);
    std::free(bytes_);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  std::string write() {
    if (!run()) throw DataError(text::cat("cannot encode a JPEG: ", errors_.reason));
    return std::string(reinterpret_cast<const char*>(bytes_), size_);
  }

 private:
  struct Errors {
    jpeg_error_mgr base;
    std::jmp_buf jump;
    char reason[JMSG_LENGTH_MAX];
  };

  bool run() {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_compress(&cinfo_);
    jpeg_mem_dest(&cinfo_, &bytes_, &size_);
    cinfo_.image_width = static_cast<JDIMENSION>(picture_.width_px);
    cinfo_.image_height = static_cast<JDIMENSION>(picture_.height_px);
    cinfo_.input_components = 3;
    cinfo_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&cinfo_);
    jpeg_set_quality(&cinfo_, quality_, TRUE);
    jpeg_start_compress(&cinfo_, TRUE);
    while (cinfo_.next_scanline < cinfo_.image_height) {
      auto* row = const_cast<JSAMPLE*>(picture_.row(static_cast<int>(cinfo_.next_scanline)));
      jpeg_write_scanlines(&cinfo_, &row, 1);
    }
    jpeg_finish_compress(&cinfo_);
    return true;
  }

  const Picture& picture_;
  const int quality_;
  jpeg_compress_struct cinfo_{};
  Errors errors_{};
  unsigned char* bytes_ = nullptr;
  unsigned long size_ = 0;
};

}  // namespace

std::string encode_png(const Picture& picture) {
  check(picture);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width_px);
  image.height = static_cast<png_uint_32>(picture.height_px);
  image.format = PNG_FORMAT_RGB;
  // One call with room for the worst case: asking for the size first would compress twice.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string out(size, '\0');
  if (png_image_write_to_memory(&image, out.data(), &size, 0, picture.pixels.data(), 0, nullptr) == 0)
    throw DataError(text::cat("cannot encode a PNG: ", image.message));
  out.resize(size);
  return out;
}

std::string encode_jpeg(const Picture& picture, int quality) {
  check(picture);
  if (quality < 1 || quality > 100) throw UsageError(text::cat("JPEG quality: 1 to 100, not ", quality));
  return JpegWriter(picture, quality).write();
}

}  // namespace engraft::image
