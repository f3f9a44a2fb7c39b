#include <ATen/Parallel.h>
#include <torch/csrc/jit/ir/ir.h>

#include "base/errors.h"
#include "base/plugin.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/folded_norms.h"
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

/// "f32", "bf16 AVX-512", "int8 AVX-512 VNNI by 1f0c2a93". Throws ModelError for bf16 in software, which is slower than
/// float32, and for int8 without a calibration.
std::string arithmetic_of(const EngineOptions& options) {
  const std::string name = tensor::to_text(options.precision);
  if (options.precision == tensor::Precision::kFloat32) return name;
  if (options.precision == tensor::Precision::kInt8) {
    if (options.calibration == nullptr) throw ModelError("openvino: int8 without a calibration");
    const std::string unit = tensor::int8_unit();
    return text::cat(name, " ", unit.empty() ? "with weights of 7 bits" : unit, " by ",
                     options.calibration->digest.substr(0, 8));
  }
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

namespace {

/// The engine for `request`, whose graph is still to be made, at the first lowering of the network's graph that
/// OpenVINO takes.
std::unique_ptr<Engine> open_engine(const torch::jit::Module& module, const std::string& method,
                                    OpenVinoRequest request) {
  static const MakeOpenVinoEngine make = open_module();
  const int64_t size = request.options.preprocessing.size_px;
  const std::vector<int64_t> sizes{request.options.batch_size, 3, size, size};
  const bool is_calibrated = request.observes || request.options.precision == tensor::Precision::kInt8;
  const auto graph_of = [&](Lowering lowering) {
    try {
      auto graph = frozen_graph(module, method, sizes, lowering);
      if (is_calibrated) fold_norms(graph);  // a weight's rounding is to be that of what it multiplies by in the end
      return graph;
    } catch (const ModelError& error) {
      throw ModelError(text::cat("openvino: ", error.what()));
    }
  };
  const auto engine_of = [&](std::shared_ptr<torch::jit::Graph> graph) {
    request.graph = std::move(graph);
    return std::unique_ptr<Engine>(make(request));
  };
  auto plain = graph_of(Lowering::kPlain);
  std::string reason;
  try {
    return engine_of(std::move(plain));
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

}  // namespace

std::string openvino_version() {
#ifdef ENGRAFT_WITH_OPENVINO
  return ENGRAFT_WITH_OPENVINO;
#else
  return "";
#endif
}

std::unique_ptr<Engine> make_openvino_engine(const torch::jit::Module& module, const std::string& method,
                                             const EngineOptions& options) {
  OpenVinoRequest request{nullptr, options, at::get_num_threads(), arithmetic_of(options)};
  request.has_narrow_weights = tensor::int8_unit().empty();
  return open_engine(module, method, request);
}

std::unique_ptr<Engine> make_openvino_observer(const torch::jit::Module& module, const std::string& method,
                                               const EngineOptions& options) {
  OpenVinoRequest request{nullptr, options, at::get_num_threads(), "f32 observer"};
  request.options.precision = tensor::Precision::kFloat32;
  request.observes = true;
  return open_engine(module, method, request);
}

}  // namespace engraft::engine
