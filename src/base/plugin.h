#pragma once

#include <string>

namespace engraft {

/// A function of a shared module that stands beside the program, so that the libraries behind it are loaded by runs
/// that use them and by no other.
struct Plugin {
  void* function = nullptr;
  bool is_there = false;
  /// Why there is no function, without the module's name in front; empty where there is one.
  std::string problem;
};

/// `function` of the module `file`, looked for in ENGRAFT_PLUGIN_DIR where that is set, else in ../lib/engraft and
/// ../../lib/engraft from the program's folder. The module is never closed: the libraries behind it register themselves
/// for the life of the process.
Plugin load_plugin(const std::string& file, const std::string& function);

}  // namespace engraft
