#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace engraft::engine {

/// How far a graph is worked on before another library reads it. Each is tried when the one before it is refused.
enum class Lowering {
  kPlain,   // attributes as constants, calls inlined, branches and loops that are known resolved
  kFolded,  // exceptions removed, shapes propagated and folded; some networks trip LibTorch's own assertions here
  kTraced,  // what one batch of zeros executes; sizes are baked in, so it costs a forward pass
};

/// `method` of `module` as a graph (x) -> outputs, without tuples, for x float32 of `sizes` [B, 3, H, W] on the CPU.
/// Its weights share the memory of the module's; the module's code, values and modes stay as they are.
/// Throws ModelError: no such method; a norm or dropout in training mode; code that writes to the module's attributes
/// or uses what cannot be a constant; what LibTorch's passes refuse.
std::shared_ptr<torch::jit::Graph> frozen_graph(const torch::jit::Module& module, const std::string& method,
                                                const std::vector<int64_t>& sizes, Lowering lowering);

}  // namespace engraft::engine
