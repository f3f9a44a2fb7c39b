#include <climits>
#include <stdexcept>
#include <string>

#include "base/errors.h"
#include "base/plugin.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/picture_module.h"

namespace engraft::image::codec {
namespace {

constexpr const char* kTiffModule = "engraft_tiff.so";
constexpr const char* kOpenCvModule = "engraft_imgcodecs.so";

struct Module {
  ModuleRead read = nullptr;
  std::string problem;
};

Module load_module(const char* file) {
  const Plugin plugin = load_plugin(file, kModuleReadName);
  return {reinterpret_cast<ModuleRead>(plugin.function), plugin.problem};
}

const Module& tiff_module() {
  static const Module module = load_module(kTiffModule);
  return module;
}

const Module& opencv_module() {
  static const Module module = load_module(kOpenCvModule);
  return module;
}

struct Target {
  Picture picture;
  int width_px = 0;
  int height_px = 0;
};

uint8_t* give_pixels(void* user, int width, int height) {
  auto& target = *static_cast<Target*>(user);
  // The size in the headers was checked against the limit; another one is not followed.
  if (width != target.width_px || height != target.height_px) return nullptr;
  try {
    target.picture = Picture(width, height);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return target.picture.pixels.data();
}

}  // namespace

Picture read_other(const Request& request, ImageInfo& info) {
  inspect_other(request.bytes, info);
  check_size(info.width_px, info.height_px, request.max_pixels);
  if (request.want == Want::kHeader) return {};
  const bool is_tiff = info.format == "tiff";
  const Module& module = is_tiff ? tiff_module() : opencv_module();
  if (module.read == nullptr)
    throw DataError(text::cat(info.format, " pictures need the module ", is_tiff ? kTiffModule : kOpenCvModule, ": ",
                              module.problem));
  Target target;
  target.width_px = info.width_px;
  target.height_px = info.height_px;
  char reason[kModuleReasonBytes] = "";
  if (module.read(request.bytes.data, request.bytes.size, give_pixels, &target, reason) != 0)
    throw DataError(text::cat("damaged ", info.format, " picture: ", reason));
  return std::move(target.picture);
}

}  // namespace engraft::image::codec
