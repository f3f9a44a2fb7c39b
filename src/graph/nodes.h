#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <vector>

namespace engraft::graph {

/// Calls `visit(node)` for every node of `block`, those inside ifs and loops included, each before what it holds.
template <class Visit>
void for_each_node(torch::jit::Block* block, const Visit& visit) {
  for (torch::jit::Node* node : block->nodes()) {
    visit(node);
    for (torch::jit::Block* inner : node->blocks()) for_each_node(inner, visit);
  }
}

inline std::vector<torch::jit::Node*> nodes_of_kind(torch::jit::Graph& graph, c10::Symbol kind) {
  std::vector<torch::jit::Node*> found;
  for_each_node(graph.block(), [&](torch::jit::Node* node) {
    if (node->kind() == kind) found.push_back(node);
  });
  return found;
}

/// Makes `values` the outputs of `graph` in place of those it has.
inline void set_outputs(torch::jit::Graph& graph, const std::vector<torch::jit::Value*>& values) {
  while (!graph.outputs().empty()) graph.eraseOutput(graph.outputs().size() - 1);
  for (torch::jit::Value* value : values) graph.registerOutput(value);
}

}  // namespace engraft::graph
