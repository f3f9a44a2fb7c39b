#include <ATen/Parallel.h>
#include <torch/csrc/jit/ir/ir.h>

#include "base/errors.h"
#include "base/plugin.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/frozen_graph.h"
#include "engine/openvino_module.h"

namespace engraft::engine {

namespace {

constexpr const char* kModule = "engraft_openvino.so";

MakeOpenVinoEngine open_module() {
  if (!has_openvino()) throw ModelError("openvino: this build has no OpenVINO");
  const Plugin plugin = load_plugin(kModule, kMakeOpenVinoEngineName);
  if (plugin.function == nullptr) throw ModelError("openvino: its module cannot be opened: " + plugin.problem);
  return reinterpret_cast<MakeOpenVinoEngine>(plugin.function);
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

bool has_openvino() {
#ifdef ENGRAFT_WITH_OPENVINO
  return true;
#else
  return false;
#endif
}

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
