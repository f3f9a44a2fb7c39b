#include "graph/surgery.h"

#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "graph/anatomy.h"
#include "graph/cuts.h"
#include "graph/flatten.h"
#include "graph/frames.h"
#include "graph/nodes.h"
#include "graph/reason.h"

namespace engraft::graph {

namespace prim = c10::prim;
using torch::jit::Graph;
using torch::jit::IValue;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

/// aten::clone of `value`, inserted right before `place`.
Value* insert_clone(Value* value, Node* place) {
  Graph& graph = *value->owningGraph();
  torch::jit::WithInsertPoint guard(place);
  return graph.insert(c10::aten::clone, {value});
}

void destroy_after(Graph& graph, const Node* last) {
  auto nodes = graph.nodes().reverse();
  for (auto it = nodes.begin(); it != nodes.end() && *it != last;) {
    Node* node = *it;
    ++it;
    node->destroy();
  }
}

/// Makes the values the graph's output, in their order, and removes everything that only later nodes need.
void keep(const FlatGraph& flat, const std::vector<Value*>& values) {
  Graph& graph = *flat.graph;
  const NodeOrder order(graph);
  Node* last = values.front()->node();
  for (const Value* value : values)
    if (order.of(value->node()) > order.of(last)) last = const_cast<Node*>(value->node());
  std::map<Value*, Value*> read;
  for (Value* value : values) {
    if (read.count(value) != 0) continue;
    // Later nodes may work in place on a tap's output; nothing comes after the last one.
    read[value] = value->node() == last ? value : insert_clone(value, value->node()->next());
  }
  set_outputs(graph, {});
  destroy_after(graph, last);
  std::vector<Value*> outputs;
  for (Value* value : values) outputs.push_back(read.at(value));
  if (outputs.size() > 1) outputs = {graph.insertNode(graph.createTuple(outputs))->output()};
  set_outputs(graph, outputs);
  prune(flat.graph);
}

void keep_taps(const FlatGraph& flat, const std::vector<std::string>& taps) {
  std::vector<Value*> values;
  for (const std::string& tap : taps) values.push_back(flat.find(tap)->node->output());
  keep(flat, values);
}

/// "conv_2" of "conv_2+1".
std::string block_of(const std::string& cut) { return cut.substr(0, cut.rfind('+')); }

/// The value of a legal cut. Throws ModelError with the reason where there is none of that name.
Value* value_of_cut(const FlatGraph& flat, const std::string& cut) {
  const Crossings crossings(flat);
  const Call& call = *flat.find(block_of(cut));
  const auto edges = crossings.edges_behind(call);
  for (const Edge& edge : edges)
    if (edge.name == cut) return edge.value;
  if (cut == call.name) throw ModelError("cannot cut at '" + cut + "': " + crossings.beside(call.node->output()));
  std::vector<std::string> names;
  for (const Edge& edge : edges) names.push_back(edge.name);
  throw ModelError("cannot cut at '" + cut + "'; the legal cuts from '" + call.name + "' to the next block are " +
                   (names.empty() ? "none" : text::join(names, ", ")));
}

/// A method name part that is different for different block names: "." is "__", other marks are spelt out.
std::string as_identifier(const std::string& name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool ambiguous = c == '_' && i + 1 < name.size() && (name[i + 1] == '_' || name[i + 1] == 'x');
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (c == '.') {
      out += "__";
    } else if (plain && !ambiguous) {
      out += c;
    } else {
      static const char* digits = "0123456789abcdef";
      out += {'_', 'x', digits[static_cast<unsigned char>(c) >> 4], digits[c & 15]};
    }
  }
  return out;
}

void add_method(Module& module, const std::string& name, const std::shared_ptr<Graph>& graph) {
  const auto type = module.type();
  auto* function = type->compilation_unit()->create_function(c10::QualifiedName(*type->name(), name), graph);
  type->addMethod(function);
}

std::shared_ptr<Graph> trunk_graph(const Module& module, const FlattenOptions& options, const std::string& cut) {
  const FlatGraph flat = flatten(module, options);
  keep(flat, {value_of_cut(flat, cut)});
  return flat.graph;
}

std::shared_ptr<Graph> top_graph(const Module& module, const FlattenOptions& options, const std::string& cut) {
  const FlatGraph flat = flatten(module, options);
  Graph& graph = *flat.graph;
  Value* crossing = value_of_cut(flat, cut);
  Node* node = crossing->node();
  Value* feature_map = graph.insertInput(2, "h");
  feature_map->setType(c10::TensorType::get());
  crossing->replaceAllUsesWith(feature_map);
  // Weights and constants stay for the nodes behind the cut; what else stands before it feeds nothing there.
  std::vector<Node*> before;
  for (Node* other : graph.nodes()) {
    before.push_back(other);
    if (other == node) break;
  }
  std::reverse(before.begin(), before.end());
  for (Node* other : before)
    if (!other->hasUses()) other->destroy();
  if (graph.inputs()[1]->hasUses()) throw ModelError("cannot cut at '" + cut + "': the input is needed after it");
  graph.eraseInput(1);
  prune(flat.graph);
  if (may_write_input(graph, 1)) {
    Value* input = graph.inputs()[1];
    Node* first = *graph.nodes().begin();
    Value* clone = insert_clone(input, first);
    input->replaceAllUsesAfterNodeWith(clone->node(), clone);
  }
  return flat.graph;
}

}  // namespace

Module extract(const Module& source, const std::vector<std::string>& taps,
               std::shared_ptr<torch::jit::CompilationUnit> unit) try {
  if (taps.empty()) throw UsageError("no tap given; expected the name of a block");
  const Anatomy anatomy = analyse(source, taps);
  for (const std::string& tap : taps) anatomy.tap(tap);
  FlattenOptions options;
  options.wanted = taps;
  const FlatGraph flat = flatten(source, options);
  keep_taps(flat, taps);
  if (!unit) unit = std::make_shared<torch::jit::CompilationUnit>();
  Module module = build_frames(flat, std::move(unit));
  add_method(module, "forward", flat.graph);
  return module;
} catch (const c10::Error& error) {
  throw ModelError("cannot extract " + text::join(taps, ", ") + ": " + reason(error));
}

Split split_methods(const std::string& cut) {
  const std::string suffix = as_identifier(cut);
  return {"trunk_" + suffix, "top_" + suffix};
}

Split split(Module& module, const std::string& cut) try {
  const Split methods = split_methods(cut);
  if (module.find_method(methods.trunk_method) && module.find_method(methods.top_method)) return methods;
  FlattenOptions options;
  options.wanted = {block_of(cut)};
  options.open_containers = false;
  const Anatomy anatomy(std::make_shared<const FlatGraph>(flatten(module, options)));
  if (cut == block_of(cut)) anatomy.tap(cut);
  anatomy.block(block_of(cut));
  const auto trunk = trunk_graph(module, options, cut);
  const auto top = top_graph(module, options, cut);
  add_method(module, methods.trunk_method, trunk);
  add_method(module, methods.top_method, top);
  return methods;
} catch (const c10::Error& error) {
  throw ModelError("cannot cut at '" + cut + "': " + reason(error));
}

std::string collect(Module& module, const std::vector<std::string>& cuts) try {
  if (cuts.empty()) throw UsageError("no cut given; expected the name of one");
  std::string name = "collect";
  FlattenOptions options;
  options.open_containers = false;
  for (const std::string& cut : cuts) {
    split(module, cut);  // says what is wrong with a cut
    name += "_" + as_identifier(cut);
    options.wanted.push_back(block_of(cut));
  }
  if (module.find_method(name)) return name;
  const FlatGraph flat = flatten(module, options);
  std::vector<Value*> values;
  for (const std::string& cut : cuts) values.push_back(value_of_cut(flat, cut));
  values.push_back(flat.graph->outputs()[0]);
  keep(flat, values);
  add_method(module, name, flat.graph);
  return name;
} catch (const c10::Error& error) {
  throw ModelError("cannot collect " + text::join(cuts, ", ") + ": " + reason(error));
}

}  // namespace engraft::graph
