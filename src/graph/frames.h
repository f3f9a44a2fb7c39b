#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>

#include "graph/flatten.h"

namespace engraft::graph {

/// A module tree for the attributes that `flat.graph` reads: blocks are the same objects as in `flat.root`, the opened
/// frames above them get classes in `unit` that hold only what is read, in the order of the original. The graph's
/// values of module type get the new classes, so that it can become a method of the result.
torch::jit::Module build_frames(const FlatGraph& flat, std::shared_ptr<torch::jit::CompilationUnit> unit);

}  // namespace engraft::graph
