#pragma once

#include <torch/csrc/jit/ir/alias_analysis.h>

#include <set>
#include <string>

#include "graph/flatten.h"

namespace engraft::graph {

/// Whether the call gives one tensor.
bool is_one_tensor(const Call& call);

/// Which values are needed on both sides of a place in a flattened graph. The graph must outlive it and stay as it is.
class Crossings {
 public:
  explicit Crossings(const FlatGraph& flat);

  /// What, beside the output of `call`, later nodes need of what was computed up to it; "" when nothing is, so that
  /// the network can be cut there. Weights, constants and lists of constants do not count: both sides can have them.
  std::string beside(const Call& call) const;

 private:
  bool on_both_sides(const torch::jit::Value* value) const;
  bool used_after(const torch::jit::Value* value, size_t place) const;
  std::string describe(const torch::jit::Value* value) const;

  const FlatGraph& flat_;
  NodeOrder order_;
  torch::jit::AliasDb aliases_;
  std::set<std::string> written_attributes_;
};

}  // namespace engraft::graph
