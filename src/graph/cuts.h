#pragma once

#include <torch/csrc/jit/ir/alias_analysis.h>

#include <set>
#include <string>
#include <vector>

#include "graph/flatten.h"

namespace engraft::graph {

/// Whether the call gives one tensor.
bool is_one_tensor(const Call& call);

/// A place where the network can be cut: one tensor and its name.
struct Edge {
  std::string name;
  torch::jit::Value* value;
};

/// Which values are needed on both sides of a place in a flattened graph. The graph must outlive it and stay as it is.
class Crossings {
 public:
  explicit Crossings(const FlatGraph& flat);

  /// What, beside `output`, later nodes need of what was computed up to it; "" when nothing is, so that the network can
  /// be cut there. Weights, constants and lists of constants do not count: both sides can have them.
  std::string beside(const torch::jit::Value* output) const;

  /// The legal cuts from the output of `call` to the next call, in order: its own as "block", behind the operators that
  /// follow it as "block+1", "block+2" …
  std::vector<Edge> edges_behind(const Call& call) const;

 private:
  bool holds_call(const torch::jit::Node* node) const;
  bool on_both_sides(const torch::jit::Value* value) const;
  bool used_after(const torch::jit::Value* value, size_t place) const;
  std::string describe(const torch::jit::Value* value) const;

  const FlatGraph& flat_;
  NodeOrder order_;
  torch::jit::AliasDb aliases_;
  std::set<std::string> written_attributes_;
};

}  // namespace engraft::graph
