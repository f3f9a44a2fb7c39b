#include "graph/norms.h"

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <set>

#include "graph/nodes.h"

namespace engraft::graph {

namespace prim = c10::prim;
using c10::ClassTypePtr;
using torch::jit::Function;
using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

/// Where operators take their mode.
const std::map<std::string, size_t>& mode_inputs() {
  static const std::map<std::string, size_t> table = {
      {"aten::batch_norm", 5},    {"aten::instance_norm", 5},   {"aten::dropout", 2},
      {"aten::dropout_", 2},      {"aten::feature_dropout", 2}, {"aten::feature_dropout_", 2},
      {"aten::alpha_dropout", 2}, {"aten::alpha_dropout_", 2},  {"aten::feature_alpha_dropout", 2}};
  return table;
}

bool is_dropout(const Node* node) {
  return std::string(node->kind().toQualString()).find("dropout") != std::string::npos;
}

/// A node that carries its mode as a constant.
struct FixedMode {
  Node* node;
  size_t input;
  bool training;
};

std::vector<FixedMode> fixed_modes(const Graph& graph) {
  std::vector<FixedMode> found;
  for_each_node(const_cast<Graph&>(graph).block(), [&](Node* node) {
    const auto place = mode_inputs().find(node->kind().toQualString());
    if (place == mode_inputs().end() || node->inputs().size() <= place->second) return;
    const auto value = torch::jit::constant_as<bool>(node->input(place->second));
    if (value) found.push_back({node, place->second, *value});
  });
  return found;
}

bool has_mode(const ClassTypePtr& type) {
  const auto slot = type->findAttribute("training");
  return slot != nullptr && slot->kind() == c10::TypeKind::BoolType;
}

std::vector<std::shared_ptr<Graph>> graphs_of(const ClassTypePtr& type) {
  std::vector<std::shared_ptr<Graph>> graphs;
  for (Function* method : type->methods())
    if (auto* function = torch::jit::tryToGraphFunction(*method)) {
      function->ensure_defined();
      graphs.push_back(function->graph());
    }
  return graphs;
}

/// Puts `graph` in the place of a method, under the same qualified name: saving insists on it.
void replace_method(const ClassTypePtr& type, const std::string& name, const std::shared_ptr<Graph>& graph) {
  auto schema = type->findMethod(name)->getSchema();
  const c10::QualifiedName qualified(*type->name(), name);
  const auto unit = type->compilation_unit();
  type->unsafeRemoveMethod(name);
  unit->unsafeRemoveMethod(qualified);
  auto* function = unit->create_function(qualified, graph);
  function->setSchema(std::move(schema));
  type->addMethod(function);
}

/// Every class of the tree, children before what holds them.
std::vector<ClassTypePtr> classes_of(const Module& module) {
  std::vector<ClassTypePtr> classes;
  std::set<const c10::ClassType*> seen;
  for (const Module& part : module.modules())
    if (seen.insert(part.type().get()).second) classes.push_back(part.type());
  return {classes.rbegin(), classes.rend()};
}

bool calls_any(const Graph& graph, const std::set<const c10::ClassType*>& changed) {
  bool found = false;
  for_each_node(const_cast<Graph&>(graph).block(), [&](Node* node) {
    if (node->kind() != prim::CallMethod) return;
    const auto type = node->input(0)->type()->cast<c10::ClassType>();
    found = found || (type && changed.count(type.get()) != 0);
  });
  return found;
}

std::vector<std::string> method_names(const ClassTypePtr& type) {
  std::vector<std::string> names;
  for (const Function* method : type->methods())
    if (method->isGraphFunction()) names.push_back(method->name());
  return names;
}

std::shared_ptr<Graph> graph_of(const ClassTypePtr& type, const std::string& method) {
  return torch::jit::toGraphFunction(type->getMethod(method)).graph();
}

int rewire_class(const ClassTypePtr& type) {
  int rewired = 0;
  for (const std::string& name : method_names(type)) {
    if (fixed_modes(*graph_of(type, name)).empty()) continue;
    const auto graph = graph_of(type, name)->copy();
    for (const FixedMode& fixed : fixed_modes(*graph)) {
      torch::jit::WithInsertPoint guard(fixed.node);
      fixed.node->replaceInput(fixed.input, graph->insertGetAttr(graph->inputs()[0], "training"));
      ++rewired;
    }
    replace_method(type, name, graph);
  }
  return rewired;
}

}  // namespace

std::vector<NormLayer> norm_layers(const Module& module) {
  std::vector<NormLayer> layers;
  for (const auto& part : module.named_modules()) {
    if (!part.value.hasattr("running_mean")) continue;
    const auto mean = part.value.attr("running_mean");
    if (mean.isTensor() && mean.toTensor().defined()) layers.push_back({part.name, mean.toTensor().numel()});
  }
  return layers;
}

TracedNorms traced_norms(const Module& module) {
  TracedNorms modes;
  for (const auto& part : module.named_modules()) {
    const ClassTypePtr type = part.value.type();
    bool holds = false;
    for (const auto& graph : graphs_of(type)) {
      for (const FixedMode& fixed : fixed_modes(*graph)) {
        (is_dropout(fixed.node) ? modes.dropouts : modes.norms) += 1;
        modes.fixed_in_train += fixed.training ? 1 : 0;
        modes.without_mode += has_mode(type) ? 0 : 1;
        holds = true;
      }
    }
    if (holds) modes.paths.push_back(part.name);
  }
  return modes;
}

int rewire_traced_norms(Module& module) {
  std::map<const c10::ClassType*, bool> was_training;
  for (const ClassTypePtr& type : classes_of(module))
    for (const auto& graph : graphs_of(type))
      for (const FixedMode& fixed : fixed_modes(*graph))
        if (has_mode(type)) was_training[type.get()] = fixed.training;

  int rewired = 0;
  std::set<const c10::ClassType*> changed;
  for (const ClassTypePtr& type : classes_of(module)) {
    if (was_training.count(type.get()) == 0) continue;
    rewired += rewire_class(type);
    changed.insert(type.get());
  }
  for (const Module& part : module.modules()) {
    const auto mode = was_training.find(part.type().get());
    if (mode != was_training.end()) part._ivalue()->setAttr("training", mode->second);
  }
  // A caller that ran has its callees inlined in its own compiled form: it gets a fresh copy as well.
  for (bool more = !changed.empty(); more;) {
    more = false;
    for (const ClassTypePtr& type : classes_of(module)) {
      if (changed.count(type.get()) != 0) continue;
      bool calls = false;
      for (const std::string& name : method_names(type)) {
        if (!calls_any(*graph_of(type, name), changed)) continue;
        replace_method(type, name, graph_of(type, name)->copy());
        calls = true;
      }
      if (calls) more = changed.insert(type.get()).second || more;
    }
  }
  return rewired;
}

}  // namespace engraft::graph
