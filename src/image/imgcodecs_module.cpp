#include <cstdio>
#include <exception>
#include <opencv2/core/mat.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>
#include <vector>

#include "image/picture_module.h"

namespace {

using engraft::image::codec::kModuleReasonBytes;

/// A row of OpenCV's [B, G, R, alpha], [B, G, R], [grey, alpha] or [grey] to RGB.
template <class Sample>
void rgb_row(const Sample* from, int channels, int width, uint8_t* to) {
  constexpr int kShift = sizeof(Sample) == 2 ? 8 : 0;
  const int red = channels >= 3 ? 2 : 0, green = channels >= 3 ? 1 : 0;
  for (int x = 0; x < width; ++x, from += channels, to += 3) {
    to[0] = static_cast<uint8_t>(from[red] >> kShift);
    to[1] = static_cast<uint8_t>(from[green] >> kShift);
    to[2] = static_cast<uint8_t>(from[0] >> kShift);
  }
}

int refuse(char* reason, const char* words) {
  std::snprintf(reason, kModuleReasonBytes, "%s", words);
  return 1;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int engraft_read_picture_1(const uint8_t* bytes, size_t size,
                                                                             engraft::image::codec::GivePixels give,
                                                                             void* user, char* reason) try {
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  // A number in text that ends with the file counts as cut off there: the newline ends it.
  const bool is_pnm_text = size > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '3';
  std::vector<uint8_t> ended;
  if (is_pnm_text) {
    ended.assign(bytes, bytes + size);
    ended.push_back('\n');
    bytes = ended.data();
    size = ended.size();
  }
  const cv::Mat file(1, static_cast<int>(size), CV_8UC1, const_cast<uint8_t*>(bytes));
  // Unchanged: its own conversions round 16 bits and mix alpha in, and its orientation comes on top of ours.
  const cv::Mat picture = cv::imdecode(file, cv::IMREAD_UNCHANGED);
  if (picture.empty()) return refuse(reason, "its pixels cannot be decoded");
  if (picture.depth() != CV_8U && picture.depth() != CV_16U)
    return refuse(reason, "its samples are neither 8-bit nor 16-bit unsigned");
  uint8_t* out = give(user, picture.cols, picture.rows);
  if (out == nullptr) return refuse(reason, "its pixels do not fit its headers, or memory");
  for (int y = 0; y < picture.rows; ++y) {
    uint8_t* row = out + static_cast<size_t>(y) * static_cast<size_t>(picture.cols) * 3;
    if (picture.depth() == CV_16U)
      rgb_row(picture.ptr<uint16_t>(y), picture.channels(), picture.cols, row);
    else
      rgb_row(picture.ptr<uint8_t>(y), picture.channels(), picture.cols, row);
  }
  return 0;
} catch (const std::exception& error) {
  return refuse(reason, error.what());
} catch (...) {
  return refuse(reason, "an unknown failure");
}
