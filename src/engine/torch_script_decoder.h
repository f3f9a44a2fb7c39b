#pragma once

#include <memory>

namespace torch::jit {
struct Graph;
}
namespace ov {
class Model;
}

namespace engraft::engine {

/// OpenVINO's model of `graph`, a graph (x) -> tensors as frozen_graph() gives it, by OpenVINO's PyTorch front end.
/// Its constants share the memory of the graph's where these are contiguous, and keep it alive. Input and outputs in
/// the order of the graph; the input's shape is that of its type. Throws what the front end throws: ov::Exception, with
/// the operators that it has no rule for.
std::shared_ptr<ov::Model> openvino_model(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace engraft::engine
