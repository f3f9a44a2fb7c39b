#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace torch::jit {
struct Graph;
}

namespace engraft::engine {

/// What the module lib/engraft/engraft_openvino.so is asked for. It stands alone, so that OpenVINO's libraries are
/// loaded by runs that use them and by no other.
struct OpenVinoRequest {
  /// As frozen_graph() gives it, for [batch_size, 3, size, size]; used up.
  std::shared_ptr<torch::jit::Graph> graph;
  EngineOptions options;
  int64_t threads = 1;
  /// What the engine's name says behind the version: "f32", "bf16 AVX-512".
  std::string arithmetic;
  /// The engine's outputs are what make_openvino_observer says.
  bool observes = false;
  /// int8: the CPU loses what seven bits of weights do not hold (tensor::int8_unit).
  bool has_narrow_weights = false;
};

/// The one function of the module. Throws ModelError with OpenVINO's reason in one line.
using MakeOpenVinoEngine = Engine* (*)(const OpenVinoRequest& request);
constexpr const char* kMakeOpenVinoEngineName = "engraft_make_openvino_engine_2";

}  // namespace engraft::engine
