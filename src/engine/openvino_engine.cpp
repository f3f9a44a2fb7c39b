#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "base/errors.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/frozen_graph.h"
#include "engine/openvino_module.h"

namespace engraft::engine {

namespace fs = std::filesystem;

namespace {

constexpr const char* kModule = "engraft_openvino.so";

/// Where the module may lie, first found wins; as image/codec_other.cpp looks for its own.
std::vector<fs::path> module_places() {
  if (const char* given = std::getenv("ENGRAFT_PLUGIN_DIR"); given != nullptr && *given != '\0')
    return {fs::path(given) / kModule};
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed).parent_path();
  return {program / ".." / "lib" / "engraft" / kModule, program / ".." / ".." / "lib" / "engraft" / kModule};
}

MakeOpenVinoEngine open_module() {
#ifndef ENGRAFT_WITH_OPENVINO
  throw ModelError("openvino: this build has no OpenVINO");
#endif
  std::vector<std::string> looked;
  for (const fs::path& place : module_places()) {
    looked.push_back(place.lexically_normal().string());
    std::error_code ignored;
    if (!fs::exists(place, ignored)) continue;
    // Never closed: the libraries behind it register themselves for the life of the process.
    void* handle = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      throw ModelError(text::cat("openvino: ", reason != nullptr ? reason : looked.back() + " cannot be loaded"));
    }
    const auto make = reinterpret_cast<MakeOpenVinoEngine>(dlsym(handle, kMakeOpenVinoEngineName));
    if (make == nullptr) throw ModelError("openvino: " + looked.back() + " is of another version");
    return make;
  }
  throw ModelError("openvino: its module is not there: " + text::join(looked, ", "));
}

/// "f32", "bf16 AVX-512". Throws ModelError for bf16 in software, which is slower than float32.
std::string arithmetic_of(const EngineOptions& options) {
  const std::string name = tensor::to_text(options.precision);
  if (options.precision == tensor::Precision::kFloat32) return name;
  const std::string unit = tensor::bf16_unit(c10::Device(c10::kCPU));
  if (unit.empty()) throw ModelError("openvino: this CPU has no unit for bf16");
  return name + " " + unit;
}

}  // namespace

std::unique_ptr<Engine> make_openvino_engine(const torch::jit::Module& module, const std::string& method,
                                             const EngineOptions& options) {
  static const MakeOpenVinoEngine make = open_module();
  const int64_t size = options.preprocessing.size_px;
  const std::vector<int64_t> sizes{options.batch_size, 3, size, size};
  const std::string arithmetic = arithmetic_of(options);
  const auto graph_of = [&](Lowering lowering) {
    try {
      return frozen_graph(module, method, sizes, lowering);
    } catch (const ModelError& error) {
      throw ModelError(text::cat("openvino: ", error.what()));
    }
  };
  const auto engine_of = [&](const std::shared_ptr<torch::jit::Graph>& graph) {
    return std::unique_ptr<Engine>(make({graph, options, at::get_num_threads(), arithmetic}));
  };
  const auto plain = graph_of(Lowering::kPlain);
  std::string reason;
  try {
    return engine_of(plain);
  } catch (const ModelError& error) {
    reason = error.what();
  }
  for (const Lowering lowering : {Lowering::kFolded, Lowering::kTraced}) {
    try {
      return engine_of(graph_of(lowering));
    } catch (const ModelError&) {
      // The first reason names what the network has; the others name what the attempts made of it.
    }
  }
  throw ModelError(reason);
}

}  // namespace engraft::engine
