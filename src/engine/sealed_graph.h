#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>

namespace engraft::engine {

/// A copy of the graph of `method` in which calls are opened and what the module holds at this moment (tensors,
/// numbers, flags, text, modes) stands as constants, with the branches and arithmetic that follow from them folded. Its
/// tensors are those of the module, not copies; the module is not edited. What cannot be a constant, as attributes that
/// are written, lists and calls through interfaces, stays a read of the graph's first input, which is the module.
std::shared_ptr<torch::jit::Graph> sealed_graph(const torch::jit::Module& module, const std::string& method);

/// Whether a batch norm or a dropout of `graph` is in training mode, or may be.
bool may_train(torch::jit::Graph& graph);

}  // namespace engraft::engine
