#pragma once

#include <cstddef>
#include <cstdint>

/// The one function of engraft_imgcodecs.so, a module of its own because OpenCV's imgcodecs pulls in some 140
/// libraries that few runs need. Private to this folder.
namespace engraft::image::codec {

constexpr size_t kImgcodecsReasonBytes = 256;

/// Gives room for [height, width, 3], or null to refuse.
using GivePixels = uint8_t* (*)(void* user, int width, int height);

/// Reads the first picture in `bytes` into what `give` gives, 8-bit RGB (16 bits by their high byte, alpha dropped).
/// 0, or 1 with the reason in `reason` [kImgcodecsReasonBytes]. Throws nothing.
using ImgcodecsRead = int (*)(const uint8_t* bytes, size_t size, GivePixels give, void* user, char* reason);

constexpr const char* kImgcodecsReadName = "engraft_imgcodecs_read_1";

}  // namespace engraft::image::codec
