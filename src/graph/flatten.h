#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace engraft::graph {

/// What flatten() opens besides helper methods of frames that are open already.
struct FlattenOptions {
  /// Block names ("layer1.0", "conv#2"); every strict prefix is opened, the named child itself never.
  std::vector<std::string> wanted;
  /// Also open containers, by the rule in anatomy.h.
  bool open_containers = true;
};

/// One call of a child module that was left closed.
struct Call {
  torch::jit::Node* node;  // prim::CallMethod in FlatGraph::graph
  std::string path;        // dotted path of the child from the root
  std::string name;        // the path, with #k when the child is called more than once
  std::string type;        // class name without namespace
  bool nested;             // inside an if or a loop that depends on data
};

/// forward of `root` as one graph (self, x): calls of closed children, and the operators between them.
/// The graph is a copy; the module is not touched.
struct FlatGraph {
  torch::jit::Module root;
  std::shared_ptr<torch::jit::Graph> graph;
  std::vector<Call> calls;  // in the order of execution

  /// The call of that name, or null.
  const Call* find(const std::string& name) const;
};

/// Opened frames have eval semantics: their `training` is folded as false; their other bool, int, float, str and None
/// attributes as the values they have.
/// Throws ModelError: no forward; forward takes other than one tensor.
FlatGraph flatten(const torch::jit::Module& module, const FlattenOptions& options);

/// The dotted path of a module value that is reached by GetAttr from the graph's first input ("" for that input).
std::optional<std::string> module_path(const torch::jit::Value* value);

/// The submodule at a dotted path; "" is `root`.
torch::jit::Module submodule(const torch::jit::Module& root, const std::string& path);

/// "a.b" of "a.b#2".
std::string without_call_number(const std::string& name);

/// "Mixed" of a class named "__torch__.pkg.___torch_mangle_3.Mixed".
std::string class_name(const torch::jit::Value* module_value);

/// Places of the nodes of the graph's outermost block.
class NodeOrder {
 public:
  explicit NodeOrder(const torch::jit::Graph& graph);
  /// Of the outermost node that holds `node`; the return node comes last.
  size_t of(const torch::jit::Node* node) const;

 private:
  const torch::jit::Block* outermost_;
  std::unordered_map<const torch::jit::Node*, size_t> places_;
};

/// Removes nodes whose outputs nobody uses, calls of children included where these cannot change what others read.
void prune(const std::shared_ptr<torch::jit::Graph>& graph);

/// Whether running `graph` may change, in place, the tensor that it is given as input `index`.
bool may_write_input(const torch::jit::Graph& graph, size_t index);

}  // namespace engraft::graph
