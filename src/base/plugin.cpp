#include "base/plugin.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "base/text.h"

namespace engraft {

namespace fs = std::filesystem;

namespace {

/// First found wins.
std::vector<fs::path> places(const std::string& file) {
  if (const char* given = std::getenv("ENGRAFT_PLUGIN_DIR"); given != nullptr && *given != '\0')
    return {fs::path(given) / file};
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  return {program / ".." / "lib" / "engraft" / file, program / ".." / ".." / "lib" / "engraft" / file};
}

}  // namespace

Plugin load_plugin(const std::string& file, const std::string& function) {
  std::vector<std::string> looked;
  for (const fs::path& place : places(file)) {
    looked.push_back(place.lexically_normal().string());
    std::error_code ignored;
    if (!fs::exists(place, ignored)) continue;
    void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      return {nullptr, true, reason != nullptr ? reason : looked.back() + " cannot be loaded"};
    }
    void* found = dlsym(handle, function.c_str());
    if (found == nullptr) return {nullptr, true, looked.back() + " is of another version"};
    return {found, true, ""};
  }
  return {nullptr, false, "not found: " + text::join(looked, ", ")};
}

}  // namespace engraft
