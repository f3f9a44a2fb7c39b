#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>
#include <string>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/exif.h"

namespace engraft::image::codec {
namespace {

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
struct Frame {
  WebPIterator iterator{};
  ~Frame() { WebPDemuxReleaseIterator(&iterator); }
};
struct Chunk {
  WebPChunkIterator iterator{};
  ~Chunk() { WebPDemuxReleaseChunkIterator(&iterator); }
};

uint32_t little_u32(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
         static_cast<uint32_t>(at[3]) << 24;
}

int orientation_of(const WebPDemuxer* demuxer) {
  Chunk exif, xmp;
  int found = 0;
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &exif.iterator))
    found = exif_orientation({exif.iterator.chunk.bytes, exif.iterator.chunk.size});
  if (found == 0 && WebPDemuxGetChunk(demuxer, "XMP ", 1, &xmp.iterator))
    found = xmp_orientation({xmp.iterator.chunk.bytes, xmp.iterator.chunk.size});
  return found == 0 ? 1 : found;
}

}  // namespace

Picture read_webp(const Request& request, ImageInfo& info) {
  const ByteSpan bytes = request.bytes;
  const WebPData data{bytes.data, bytes.size};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const std::unique_ptr<WebPDemuxer, DemuxerDeleter> demuxer(WebPDemuxPartial(&data, &state));
  const uint64_t declared = bytes.size >= 12 ? 8 + static_cast<uint64_t>(little_u32(bytes.data + 4)) : 12;
  if (declared > bytes.size) throw DataError(text::cat("truncated WebP: ", bytes.size, " of ", declared, " bytes"));
  if (demuxer == nullptr || state != WEBP_DEMUX_DONE) throw DataError("damaged WebP: its chunks cannot be read");

  const auto feature = [&](WebPFormatFeature f) { return WebPDemuxGetI(demuxer.get(), f); };
  info.width_px = static_cast<int>(feature(WEBP_FF_CANVAS_WIDTH));
  info.height_px = static_cast<int>(feature(WEBP_FF_CANVAS_HEIGHT));
  info.animated = feature(WEBP_FF_FRAME_COUNT) > 1;
  info.orientation = orientation_of(demuxer.get());
  check_size(info.width_px, info.height_px, request.max_pixels);

  Frame frame;
  if (!WebPDemuxGetFrame(demuxer.get(), 1, &frame.iterator)) throw DataError("damaged WebP: no picture in it");
  const WebPIterator& first = frame.iterator;
  info.mode = first.has_alpha ? "rgba" : "rgb";
  if (!first.complete) throw DataError("truncated WebP: its first picture is cut short");
  if (first.x_offset < 0 || first.y_offset < 0 || first.width > info.width_px - first.x_offset ||
      first.height > info.height_px - first.y_offset)
    throw DataError("damaged WebP: its first picture lies outside the canvas");
  if (request.want == Want::kHeader) return {};

  // The colours under alpha are kept, as Pillow's convert("RGB") of RGBA; what the frame leaves free is black.
  Picture picture(info.width_px, info.height_px);
  const size_t stride = picture.stride_bytes();
  const size_t start = static_cast<size_t>(first.y_offset) * stride + static_cast<size_t>(first.x_offset) * 3;
  const uint8_t* decoded = WebPDecodeRGBInto(first.fragment.bytes, first.fragment.size, picture.pixels.data() + start,
                                             picture.pixels.size() - start, static_cast<int>(stride));
  if (decoded == nullptr) throw DataError("damaged WebP: its pixels cannot be decoded");
  return picture;
}

}  // namespace engraft::image::codec
