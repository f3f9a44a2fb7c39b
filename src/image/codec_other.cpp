#include <dlfcn.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/codecs.h"
#include "image/picture_module.h"

namespace engraft::image::codec {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTiffModule = "engraft_tiff.so";
constexpr const char* kOpenCvModule = "engraft_imgcodecs.so";

/// Where a module may lie, first found wins.
std::vector<fs::path> module_places(const char* file) {
  if (const char* given = std::getenv("ENGRAFT_PLUGIN_DIR"); given != nullptr && *given != '\0')
    return {fs::path(given) / file};
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  return {program / ".." / "lib" / "engraft" / file, program / ".." / ".." / "lib" / "engraft" / file};
}

struct Module {
  ModuleRead read = nullptr;
  std::string problem;
};

Module load_module(const char* file) {
  Module module;
  std::vector<std::string> looked;
  for (const fs::path& place : module_places(file)) {
    looked.push_back(place.lexically_normal().string());
    std::error_code ignored;
    if (!fs::exists(place, ignored)) continue;
    // Never closed: the libraries behind it register themselves for the life of the process.
    void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      module.problem = reason != nullptr ? reason : "it cannot be loaded";
      return module;
    }
    module.read = reinterpret_cast<ModuleRead>(dlsym(handle, kModuleReadName));
    if (module.read == nullptr) module.problem = looked.back() + " is of another version";
    return module;
  }
  module.problem = "not found: " + text::join(looked, ", ");
  return module;
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
