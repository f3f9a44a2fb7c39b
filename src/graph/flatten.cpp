#include "graph/flatten.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/loop_unrolling.h>
#include <torch/csrc/jit/passes/lower_tuples.h>
#include <torch/csrc/jit/passes/shape_analysis.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "graph/nodes.h"

namespace engraft::graph {

namespace prim = c10::prim;
using torch::jit::Graph;
using torch::jit::GraphFunction;
using torch::jit::IValue;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

/// Classes whose forward only hands its input from child to child.
bool is_container_class(const std::string& name) {
  return name == "Sequential" || name == "ModuleList" || name == "ModuleDict";
}

/// Attribute names under which networks keep a chain of blocks in a class of their own.
bool is_container_name(const std::string& attribute) {
  static const std::set<std::string> names = {"features", "backbone", "encoder", "trunk",
                                              "body",     "model",    "module",  "base_model"};
  return names.count(attribute) != 0;
}

GraphFunction* callee_of(Node* call) { return torch::jit::tryToGraphFunction(call); }

/// The calls of children that the body of `function` makes, in any depth of control flow.
size_t count_calls(GraphFunction& function) { return nodes_of_kind(*function.graph(), prim::CallMethod).size(); }

/// Whether the body only returns its input.
bool is_identity(GraphFunction& function) {
  const auto graph = function.graph();
  return graph->inputs().size() == 2 && graph->outputs().size() == 1 && graph->outputs()[0] == graph->inputs()[1];
}

class Flattener {
 public:
  Flattener(const Module& module, const FlattenOptions& options) : root_(module), options_(options) {
    for (const std::string& name : options.wanted) wanted_.push_back(without_call_number(name));
  }

  FlatGraph run() {
    start();
    settle();
    while (options_.open_containers && open_only_child()) settle();
    torch::jit::LowerSimpleTuples(graph_);
    prune(graph_);
    return FlatGraph{root_, graph_, list_calls()};
  }

 private:
  void start() {
    const auto method = root_.find_method("forward");
    if (!method) throw ModelError("the module has no method 'forward'");
    auto* function = torch::jit::tryToGraphFunction(method->function());
    if (function == nullptr) throw ModelError("the module's forward is not TorchScript");
    function->ensure_defined();
    graph_ = function->graph()->copy();
    const auto& arguments = function->getSchema().arguments();
    if (arguments.size() < 2) throw ModelError("forward takes no input; expected one tensor");
    for (size_t i = arguments.size(); i-- > 2;) fold_default(arguments[i], i, arguments.size() - 1);
    if (!arguments[1].type()->isSubtypeOf(*c10::TensorType::get()))
      throw ModelError("forward's input '" + arguments[1].name() + "' is " + arguments[1].type()->repr_str() +
                       "; expected one tensor");
    torch::jit::EraseShapeInformation(graph_);
  }

  /// Arguments after the first may stay away from a call if they have defaults.
  void fold_default(const c10::Argument& argument, size_t place, size_t inputs) {
    if (!argument.default_value())
      throw ModelError(
          text::cat("forward takes ", inputs, " inputs; expected one tensor ('", argument.name(), "' has no default)"));
    torch::jit::WithInsertPoint guard(*graph_->nodes().begin());
    Value* value = graph_->insertConstant(*argument.default_value());
    graph_->inputs().at(place)->replaceAllUsesWith(value);
    graph_->eraseInput(place);
  }

  /// Folds and opens to a fixed point: what is dead under the folded attributes is never opened.
  void settle() {
    do {
      fold_attributes();
      torch::jit::ConstantPropagationImmutableTypes(graph_);
      if (has_calls_in_control_flow()) {
        torch::jit::ConstantPropagation(graph_);
        torch::jit::UnrollConstantLoops(graph_);
        torch::jit::ConstantPropagationImmutableTypes(graph_);
      }
    } while (open_round());
  }

  void fold_attributes() {
    std::set<std::string> written;
    for (Node* node : nodes_of_kind(*graph_, prim::SetAttr)) written.insert(node->s(c10::attr::name));
    for (Node* node : nodes_of_kind(*graph_, prim::GetAttr)) {
      const auto owner = module_path(node->input());
      const std::string& name = node->s(c10::attr::name);
      if (!owner || written.count(name) != 0) continue;
      const auto object = submodule(root_, *owner);
      if (!object.hasattr(name)) continue;
      IValue value = object.attr(name);
      const bool plain = value.isBool() || value.isInt() || value.isDouble() || value.isString() || value.isNone();
      if (!plain) continue;
      if (name == "training") value = false;
      torch::jit::WithInsertPoint guard(node);
      Value* constant = graph_->insertConstant(value);
      if (value.isNone()) constant->setType(node->output()->type());
      node->output()->replaceAllUsesWith(constant);
    }
    torch::jit::EliminateDeadCode(graph_->block());
  }

  bool has_calls_in_control_flow() {
    const auto calls = nodes_of_kind(*graph_, prim::CallMethod);
    return std::any_of(calls.begin(), calls.end(), [&](Node* node) { return node->owningBlock() != graph_->block(); });
  }

  /// Opens every call there is to open at this moment; false when there was none.
  bool open_round() {
    bool opened = false;
    for (Node* node : nodes_of_kind(*graph_, prim::CallMethod)) {
      if (!must_open(node)) continue;
      open(node);
      opened = true;
    }
    return opened;
  }

  bool must_open(Node* call) {
    const auto path = module_path(call->input(0));
    GraphFunction* function = callee_of(call);
    if (!path || function == nullptr) return false;
    if (path->empty()) return true;
    bool named = false;
    for (const std::string& name : wanted_) {
      if (text::starts_with(name, *path + ".")) return true;
      named = named || name == *path;
    }
    if (named || !options_.open_containers) return false;
    const std::string attribute = path->substr(path->rfind('.') + 1);  // npos + 1 is 0
    if (is_container_class(class_name(call->input(0)))) return count_calls(*function) >= 1 || is_identity(*function);
    return is_container_name(attribute) && count_calls(*function) >= 2;
  }

  /// A wrapper calls one child and nothing else: that child is opened if it has children of its own.
  bool open_only_child() {
    const auto calls = nodes_of_kind(*graph_, prim::CallMethod);
    if (calls.size() != 1) return false;
    const auto path = module_path(calls[0]->input(0));
    GraphFunction* function = callee_of(calls[0]);
    if (!path || function == nullptr || count_calls(*function) == 0) return false;
    if (std::find(wanted_.begin(), wanted_.end(), *path) != wanted_.end()) return false;
    open(calls[0]);
    return true;
  }

  /// The callee's own graph: its optimised one has the calls inside it inlined, which erases the blocks.
  static void open(Node* call) {
    GraphFunction* function = callee_of(call);
    torch::jit::inlineCallTo(call, function, function->graph().get());
  }

  std::vector<Call> list_calls() {
    std::vector<Call> calls;
    std::unordered_map<std::string, int> total;
    for (Node* node : nodes_of_kind(*graph_, prim::CallMethod)) {
      const auto path = module_path(node->input(0));
      if (!path) continue;
      total[*path] += 1;
      calls.push_back({node, *path, *path, class_name(node->input(0)), node->owningBlock() != graph_->block()});
    }
    std::unordered_map<std::string, int> seen;
    for (Call& call : calls)
      if (total[call.path] > 1) call.name = text::cat(call.path, "#", ++seen[call.path]);
    return calls;
  }

  Module root_;
  FlattenOptions options_;
  std::vector<std::string> wanted_;
  std::shared_ptr<Graph> graph_;
};

/// Whether the call may change one of its tensors, in place, that others may read.
bool may_write_arguments(Node* call) {
  GraphFunction* function = callee_of(call);
  if (function == nullptr) return true;
  const auto graph = function->graph();
  const size_t first = call->kind() == prim::CallMethod ? 1 : 0;  // a method's own object does not count
  for (size_t i = first; i < graph->inputs().size(); ++i)
    if (may_write_input(*graph, i)) return true;
  return false;
}

}  // namespace

const Call* FlatGraph::find(const std::string& name) const {
  for (const Call& call : calls)
    if (call.name == name) return &call;
  return nullptr;
}

FlatGraph flatten(const Module& module, const FlattenOptions& options) { return Flattener(module, options).run(); }

std::optional<std::string> module_path(const Value* value) {
  const Node* node = value->node();
  if (node->kind() == prim::Param) {
    const Graph* graph = node->owningGraph();
    if (node == graph->param_node() && value == graph->inputs()[0]) return "";
    return std::nullopt;
  }
  if (node->kind() != prim::GetAttr) return std::nullopt;
  const auto type = value->type()->cast<c10::ClassType>();
  if (!type || !type->is_module()) return std::nullopt;
  const auto owner = module_path(node->input());
  if (!owner) return std::nullopt;
  const std::string& name = node->s(c10::attr::name);
  return owner->empty() ? name : *owner + "." + name;
}

Module submodule(const Module& root, const std::string& path) {
  Module found = root;
  if (path.empty()) return found;
  for (const std::string& name : text::split(path, '.')) found = found.attr(name).toModule();
  return found;
}

std::string without_call_number(const std::string& name) { return name.substr(0, name.rfind('#')); }

std::string class_name(const Value* module_value) {
  const auto type = module_value->type()->cast<c10::NamedType>();
  return type && type->name() ? type->name()->name() : "?";
}

NodeOrder::NodeOrder(const Graph& graph) : outermost_(graph.block()) {
  size_t place = 1;
  for (const Node* node : graph.nodes()) places_[node] = place++;
  places_[graph.param_node()] = 0;
  places_[graph.return_node()] = place;
}

size_t NodeOrder::of(const Node* node) const {
  while (node->owningBlock() != outermost_) node = node->owningBlock()->owningNode();
  return places_.at(node);
}

void prune(const std::shared_ptr<Graph>& graph) {
  bool removed = true;
  while (removed) {
    removed = false;
    torch::jit::EliminateDeadCode(graph);
    std::vector<Node*> calls;
    for (Node* node : graph->nodes())
      if (node->kind() == prim::CallMethod || node->kind() == prim::CallFunction) calls.push_back(node);
    std::reverse(calls.begin(), calls.end());
    for (Node* call : calls) {
      if (call->hasUses() || may_write_arguments(call)) continue;
      call->destroy();
      removed = true;
    }
  }
}

bool may_write_input(const Graph& graph, size_t index) {
  // Alias analysis takes inputs for possible aliases of each other and of every attribute; a clone is an alias of
  // nothing, so that a write to it is a write to this input alone.
  const auto copy = const_cast<Graph&>(graph).copy();
  torch::jit::Inline(*copy);
  Value* input = copy->inputs().at(index);
  if (!input->hasUses()) return false;
  if (input->type()->isSubtypeOf(*c10::TensorType::get())) {
    Node* clone = copy->create(c10::aten::clone, 1);
    input->replaceAllUsesWith(clone->output());
    torch::jit::WithInsertPoint guard(*copy->nodes().begin());
    clone->addInput(input);
    clone->addInput(copy->insertConstant(IValue()));
    input = copy->insertNode(clone)->output();
  }
  torch::jit::AliasDb aliases(copy);
  return aliases.hasWriters(input);
}

}  // namespace engraft::graph
