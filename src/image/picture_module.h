#pragma once

#include <cstddef>
#include <cstdint>

/// What a reader in a module of its own offers: one extern "C" function. Formats that few runs meet are read in
/// modules, opened by codec_other.cpp when the first such file is met, because of what they pull in: OpenCV's
/// imgcodecs some 140 libraries, libtiff ten. Private to this folder.
namespace engraft::image::codec {

constexpr size_t kModuleReasonBytes = 256;

/// Gives room for [height, width, 3], or null to refuse.
using GivePixels = uint8_t* (*)(void* user, int width, int height);

/// Reads the first picture in `bytes` into what `give` gives, 8-bit RGB (16 bits by their high byte, alpha dropped),
/// as stored, whatever its orientation. 0, or 1 with the reason in `reason` [kModuleReasonBytes]. Throws nothing.
/// Thread-safe.
using ModuleRead = int (*)(const uint8_t* bytes, size_t size, GivePixels give, void* user, char* reason);

/// The function's name; its number changes with the signature.
constexpr const char* kModuleReadName = "engraft_read_picture_1";

}  // namespace engraft::image::codec
