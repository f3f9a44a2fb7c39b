#include "engine/folded_network.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <cmath>

#include "engine/constant_convolution.h"
#include "engine/folded_norms.h"
#include "engine/frozen_graph.h"
#include "engine/packed_convolutions.h"
#include "graph/nodes.h"

namespace engraft::engine {

namespace {

using torch::jit::Graph;
using torch::jit::Node;

/// Whether no number among the constants is infinite or NaN.
bool is_finite(Graph& graph) {
  bool found = true;
  for (Node* node : graph::nodes_of_kind(graph, c10::prim::Constant)) {
    const auto floats = constant_floats(node->output());
    if (floats && floats->defined()) found = found && std::isfinite(floats->sum().item<float>());
  }
  return found;
}

/// As autocast rounds them for every batch.
void round_weights(Graph& graph) {
  graph::for_each_node(graph.block(), [&](Node* node) {
    const auto convolution = constant_convolution(node);
    if (!convolution) return;
    const torch::jit::WithInsertPoint before(node);
    node->replaceInput(1, graph.insertConstant(convolution->weight.to(at::kBFloat16)));
    if (convolution->bias.defined()) node->replaceInput(2, graph.insertConstant(convolution->bias.to(at::kBFloat16)));
  });
}

}  // namespace

FoldedNetwork::FoldedNetwork(const std::shared_ptr<Graph>& graph)
    : code_(std::make_shared<torch::jit::Code>(graph, "folded")) {}

std::unique_ptr<FoldedNetwork> FoldedNetwork::make(const torch::jit::Module& module, const std::string& method,
                                                   const std::vector<int64_t>& sizes, tensor::Precision precision) {
  c10::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  try {
    const std::shared_ptr<Graph> graph = frozen_graph(module, method, sizes, Lowering::kPlain);
    for (const torch::jit::Value* output : graph->outputs())
      if (output->type()->kind() != c10::TypeKind::TensorType) return nullptr;
    fold_norms(graph);
    if (!is_finite(*graph)) return nullptr;
    if (precision == tensor::Precision::kFloat32)
      pack_convolutions(graph, sizes);
    else
      round_weights(*graph);
    return std::unique_ptr<FoldedNetwork>(new FoldedNetwork(graph));
  } catch (const std::exception&) {
    return nullptr;
  }
}

std::vector<at::Tensor> FoldedNetwork::run(const at::Tensor& x) const {
  torch::jit::Stack stack{x};
  torch::jit::InterpreterState(*code_).run(stack);
  std::vector<at::Tensor> outputs;
  for (const c10::IValue& output : stack) outputs.push_back(output.toTensor());
  return outputs;
}

}  // namespace engraft::engine
