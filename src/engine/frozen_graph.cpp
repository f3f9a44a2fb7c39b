#include "engine/frozen_graph.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/common_subexpression_elimination.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/loop_unrolling.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/peephole.h>
#include <torch/csrc/jit/passes/remove_exceptions.h>
#include <torch/csrc/jit/passes/remove_mutation.h>
#include <torch/csrc/jit/passes/shape_analysis.h>
#include <torch/csrc/jit/passes/symbolic_shape_analysis.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <set>
#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "graph/nodes.h"
#include "graph/reason.h"

namespace engraft::engine {

namespace aten = c10::aten;
namespace prim = c10::prim;
using torch::jit::Graph;
using torch::jit::IValue;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

/// Replaces what a graph reads from its module by constants, and opens the calls of the module's methods.
class Freezer {
 public:
  Freezer(const Module& module, std::shared_ptr<Graph> graph) : module_(module), graph_(std::move(graph)) {}

  /// Tensors come last, when branches that are not taken, such as a norm's counting of batches, are gone: what writes
  /// to a tensor that is still the module's is kept by all passes.
  void run() {
    do {
      fold_all(is_plain);
      torch::jit::ConstantPropagationImmutableTypes(graph_);
    } while (open_calls());
    torch::jit::Inline(*graph_);  // plain functions are left
    torch::jit::ConstantPropagationImmutableTypes(graph_);
    fold_all([](const IValue&) { return true; });
  }

 private:
  static bool is_plain(const IValue& value) {
    return value.isBool() || value.isInt() || value.isDouble() || value.isString() || value.isNone();
  }

  template <class Wanted>
  void fold_all(const Wanted& is_wanted) {
    objects_ = {{graph_->inputs().at(0), module_._ivalue()}};  // values of the last round may be gone
    std::set<std::string> written;
    for (Node* node : graph::nodes_of_kind(*graph_, prim::SetAttr)) written.insert(node->s(c10::attr::name));
    for (Node* node : graph::nodes_of_kind(*graph_, prim::GetAttr)) {
      const auto owner = objects_.find(node->input());
      if (owner == objects_.end() || written.count(node->s(c10::attr::name)) != 0) continue;
      const IValue value = owner->second.toObjectRef().getAttr(node->s(c10::attr::name));
      if (value.isObject()) {
        objects_[node->output()] = value;
      } else if (is_wanted(value)) {
        replace(node, value);
      }
    }
  }

  void replace(Node* node, IValue value) {
    if (value.isTensor() && value.toTensor().defined()) value = value.toTensor().detach();
    const torch::jit::WithInsertPoint before(node);
    const auto constant = torch::jit::tryInsertConstant(*graph_, value);
    if (!constant) return;
    node->output()->replaceAllUsesWith(*constant);
    node->destroy();
  }

  bool open_calls() {
    bool opened = false;
    for (Node* call : graph::nodes_of_kind(*graph_, prim::CallMethod)) {
      auto* function = torch::jit::tryToGraphFunction(call);
      if (function == nullptr) continue;
      function->ensure_defined();
      torch::jit::inlineCallTo(call, function, function->graph().get());
      opened = true;
    }
    return opened;
  }

  Module module_;
  std::shared_ptr<Graph> graph_;
  std::unordered_map<const Value*, IValue> objects_;
};

/// The passes that LibTorch's own freezing runs, without pooling, which compares every weight with every other.
void simplify(std::shared_ptr<Graph>& graph) {
  for (int round = 0; round < 2; ++round) {
    torch::jit::EliminateDeadCode(graph);
    torch::jit::EliminateCommonSubexpression(graph);
    torch::jit::PeepholeOptimize(graph);
    torch::jit::ConstantPropagation(graph, /*ignore_custom_classes=*/true);
    torch::jit::UnrollConstantLoops(graph);
    torch::jit::RemoveListMutation(graph);
    torch::jit::LowerSimpleTuples(graph);
  }
  torch::jit::EliminateDeadCode(graph);
}

void refuse_training(Graph& graph) {
  graph::for_each_node(graph.block(), [](Node* node) {
    const bool is_norm = node->kind() == aten::batch_norm;
    const bool is_dropout = node->kind() == aten::dropout || node->kind() == aten::feature_dropout;
    if (!is_norm && !is_dropout) return;
    const auto trains = torch::jit::toIValue(node->input(is_norm ? 5 : 2));
    if (trains && trains->isBool() && !trains->toBool()) return;
    throw ModelError(text::cat(node->kind().toQualString(), " is in training mode; only eval mode can be frozen"));
  });
}

/// Constants must stay what they are. Asked before passes remove what seems to have no effect.
void refuse_writes(const std::shared_ptr<Graph>& graph) {
  const torch::jit::AliasDb aliases(graph);
  for (Node* node : graph::nodes_of_kind(*graph, prim::Constant)) {
    if (aliases.hasWriters(node->output())) throw ModelError("its code writes to a weight or a buffer");
  }
  for (Node* node : graph::nodes_of_kind(*graph, prim::SetAttr))
    throw ModelError("its code changes the attribute '" + node->s(c10::attr::name) + "'");
}

/// Nothing but the pictures may come in.
void refuse_objects(const Graph& graph) {
  for (const torch::jit::Use& use : graph.inputs().at(0)->uses()) {
    const bool is_named = use.user->hasAttribute(c10::attr::name);
    throw ModelError(text::cat("its code uses ", is_named ? "'" + use.user->s(c10::attr::name) + "'" : "the module",
                               " in ", use.user->kind().toQualString(), ", which cannot be a constant"));
  }
}

c10::TypePtr input_type(const std::vector<int64_t>& sizes) {
  return c10::TensorType::createContiguous(at::kFloat, at::kCPU, sizes);
}

void spread_tuple_output(Graph& graph) {
  if (graph.outputs().size() != 1) return;
  Node* tuple = graph.outputs()[0]->node();
  if (tuple->kind() != prim::TupleConstruct) return;
  graph::set_outputs(graph, tuple->inputs().vec());
  torch::jit::EliminateDeadCode(graph.block());
}

void fold_shapes(std::shared_ptr<Graph>& graph) {
  torch::jit::EliminateExceptions(graph);
  torch::jit::PropagateShapesOnGraph(graph);
  torch::jit::PeepholeOptimize(graph);
  torch::jit::ConstantPropagation(graph, /*ignore_custom_classes=*/true);
  simplify(graph);
}

std::shared_ptr<Graph> traced(const std::shared_ptr<Graph>& graph, const std::vector<int64_t>& sizes) {
  const c10::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  torch::jit::GraphExecutor executor(graph, "frozen");
  const auto run = [&](torch::jit::Stack inputs) {
    executor.run(inputs);
    return inputs;
  };
  const auto no_name = [](const at::Tensor&) { return std::string(); };
  const auto [state, outputs] = torch::jit::tracer::trace({at::zeros(sizes)}, run, no_name);
  std::shared_ptr<Graph> result = state->graph;
  simplify(result);
  return result;
}

std::shared_ptr<Graph> lowered(const Module& module, const torch::jit::Method& method,
                               const std::vector<int64_t>& sizes, Lowering lowering) {
  torch::jit::toGraphFunction(method.function()).ensure_defined();
  std::shared_ptr<Graph> graph = method.graph()->copy();
  torch::jit::EraseShapeInformation(graph);  // a trace's are of the batch that it was made with
  if (graph->inputs().size() != 2)
    throw ModelError(text::cat("'", method.name(), "' takes ", graph->inputs().size() - 1, " inputs; expected one"));
  Freezer(module, graph).run();
  refuse_training(*graph);
  refuse_writes(graph);
  simplify(graph);
  refuse_objects(*graph);
  graph->eraseInput(0);
  graph->inputs()[0]->setType(input_type(sizes));
  spread_tuple_output(*graph);
  if (lowering != Lowering::kPlain) fold_shapes(graph);
  if (lowering != Lowering::kTraced) return graph;
  graph = traced(graph, sizes);
  graph->inputs()[0]->setType(input_type(sizes));
  spread_tuple_output(*graph);
  return graph;
}

}  // namespace

std::shared_ptr<Graph> frozen_graph(const Module& module, const std::string& method, const std::vector<int64_t>& sizes,
                                    Lowering lowering) {
  const auto found = module.find_method(method);
  if (!found) throw ModelError("the module has no method '" + method + "'");
  try {
    return lowered(module, *found, sizes, lowering);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ModelError("the code cannot be frozen: " + graph::reason(error));
  }
}

}  // namespace engraft::engine
