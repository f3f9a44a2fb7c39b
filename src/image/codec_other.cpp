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
#include "image/imgcodecs_module.h"

namespace engraft::image::codec {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModuleFile = "engraft_imgcodecs.so";

/// Where the module may lie, first found wins.
std::vector<fs::path> module_places() {
  if (const char* given = std::getenv("ENGRAFT_PLUGIN_DIR"); given != nullptr && *given != '\0')
    return {fs::path(given) / kModuleFile};
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  return {program / ".." / "lib" / "engraft" / kModuleFile, program / ".." / ".." / "lib" / "engraft" / kModuleFile};
}

struct Module {
  ImgcodecsRead read = nullptr;
  std::string problem;
};

Module load_module() {
  Module module;
  std::vector<std::string> looked;
  for (const fs::path& place : module_places()) {
    looked.push_back(place.lexically_normal().string());
    std::error_code ignored;
    if (!fs::exists(place, ignored)) continue;
    // Never closed: OpenCV's libraries register themselves for the life of the process.
    void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      module.problem = reason != nullptr ? reason : "it cannot be loaded";
      return module;
    }
    module.read = reinterpret_cast<ImgcodecsRead>(dlsym(handle, kImgcodecsReadName));
    if (module.read == nullptr) module.problem = looked.back() + " is of another version";
    return module;
  }
  module.problem = "not found: " + text::join(looked, ", ");
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
  static const Module module = load_module();
  if (module.read == nullptr)
    throw DataError(text::cat(info.format, " pictures need the module ", kModuleFile, ": ", module.problem));
  Target target;
  target.width_px = info.width_px;
  target.height_px = info.height_px;
  char reason[kImgcodecsReasonBytes] = "";
  if (module.read(request.bytes.data, request.bytes.size, give_pixels, &target, reason) != 0)
    throw DataError(text::cat("damaged ", info.format, " picture: ", reason));
  return std::move(target.picture);
}

}  // namespace engraft::image::codec
