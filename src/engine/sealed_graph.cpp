#include "engine/sealed_graph.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/shape_analysis.h>

#include <set>
#include <unordered_map>

#include "graph/flatten.h"
#include "graph/nodes.h"

namespace engraft::engine {

namespace {

using torch::jit::Graph;
using torch::jit::IValue;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

class Freezer {
 public:
  Freezer(const Module& module, const std::string& method) : root_(module) {
    auto& function = torch::jit::toGraphFunction(module.get_method(method).function());
    function.ensure_defined();
    graph_ = function.graph()->copy();
  }

  std::shared_ptr<Graph> run() {
    do {
      fold_attributes();
      torch::jit::ConstantPropagationImmutableTypes(graph_);
    } while (open_calls());
    torch::jit::EraseShapeInformation(graph_);
    torch::jit::LowerSimpleTuples(graph_);
    torch::jit::ConstantPropagation(graph_);
    torch::jit::EliminateDeadCode(graph_);
    return graph_;
  }

 private:
  void fold_attributes() {
    forget_removed_constants();
    std::set<std::string> written;
    for (Node* node : graph::nodes_of_kind(*graph_, c10::prim::SetAttr)) written.insert(node->s(c10::attr::name));
    for (Node* node : graph::nodes_of_kind(*graph_, c10::prim::GetAttr)) {
      const auto owner = graph::module_path(node->input());
      const std::string& name = node->s(c10::attr::name);
      if (!owner || written.count(name) != 0) continue;
      const Module object = graph::submodule(root_, *owner);
      if (!object.hasattr(name)) continue;
      if (Value* constant = constant_of(object.attr(name))) {
        if (constant->mustBeNone()) constant->setType(node->output()->type());
        node->output()->replaceAllUsesWith(constant);
      }
    }
    torch::jit::EliminateDeadCode(graph_->block());
  }

  /// Passes remove constants that nothing uses any more.
  void forget_removed_constants() {
    std::set<const Value*> there;
    for (Node* node : graph::nodes_of_kind(*graph_, c10::prim::Constant)) there.insert(node->output());
    for (auto known = tensors_.begin(); known != tensors_.end();) {
      known = there.count(known->second) != 0 ? std::next(known) : tensors_.erase(known);
    }
  }

  /// At the graph's front; null for what cannot be one.
  Value* constant_of(const IValue& value) {
    const torch::jit::WithInsertPoint front(*graph_->nodes().begin());
    const bool is_plain = value.isBool() || value.isInt() || value.isDouble() || value.isString() || value.isNone();
    if (is_plain) return graph_->insertConstant(value);
    if (!value.isTensor() || !value.toTensor().defined()) return nullptr;
    // One value for one tensor, so that a write to it is seen wherever it is read.
    Value*& known = tensors_[value.toTensor().unsafeGetTensorImpl()];
    if (known == nullptr) known = graph_->insertConstant(value.toTensor().detach());
    return known;
  }

  bool open_calls() {
    bool is_opened = false;
    for (const c10::Symbol kind : {c10::prim::CallMethod, c10::prim::CallFunction}) {
      for (Node* call : graph::nodes_of_kind(*graph_, kind)) {
        torch::jit::GraphFunction* callee = torch::jit::tryToGraphFunction(call);
        if (callee == nullptr) continue;
        callee->ensure_defined();
        if (kind == c10::prim::CallFunction) call->removeInput(0);
        torch::jit::inlineCallTo(call, callee, callee->graph().get());
        is_opened = true;
      }
    }
    return is_opened;
  }

  Module root_;
  std::shared_ptr<Graph> graph_;
  std::unordered_map<const c10::TensorImpl*, Value*> tensors_;
};

bool is_constantly_false(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isBool() && !constant->toBool();
}

}  // namespace

std::shared_ptr<Graph> sealed_graph(const Module& module, const std::string& method) {
  return Freezer(module, method).run();
}

bool may_train(Graph& graph) {
  bool found = false;
  graph::for_each_node(graph.block(), [&](const Node* node) {
    if (node->kind() == c10::aten::batch_norm) found = found || !is_constantly_false(node->input(5));
    if (node->kind() == c10::aten::dropout) found = found || !is_constantly_false(node->input(2));
  });
  return found;
}

}  // namespace engraft::engine
