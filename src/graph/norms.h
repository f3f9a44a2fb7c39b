#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::graph {

/// A submodule with running statistics.
struct NormLayer {
  std::string path;  // dotted
  int64_t channels = 0;
};

/// The submodules that hold a `running_mean` buffer, in the order of the module tree.
std::vector<NormLayer> norm_layers(const torch::jit::Module& module);

/// Nodes that carry their mode as a constant, as torch.jit.trace writes them: train() and eval() do not reach them.
struct TracedNorms {
  int64_t norms = 0;               // aten::batch_norm, aten::instance_norm
  int64_t dropouts = 0;            // aten::dropout and its kin
  int64_t fixed_in_train = 0;      // those of both whose constant is true
  int64_t without_mode = 0;        // those whose submodule has no `training`, which rewiring leaves
  std::vector<std::string> paths;  // the submodules that hold such nodes
  bool any() const { return norms + dropouts > 0; }
};

TracedNorms traced_norms(const torch::jit::Module& module);

/// Makes every such node read `training` of the submodule that holds it, as the Python original does, and sets that
/// `training` to what the constant was, so that nothing changes until train() is called. Returns how many were
/// rewired; a second call returns 0. Edits the classes of `module`: what shares them (copies, taps extracted before)
/// reads its own `training` from then on too. A torch::jit::Method taken from `module` before must not be called any
/// more. The order is: load, rewire, then analyse and extract, since opened containers are copied by extract().
int rewire_traced_norms(torch::jit::Module& module);

}  // namespace engraft::graph
