#include "graph/cuts.h"

#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>

namespace engraft::graph {

namespace prim = c10::prim;
using torch::jit::Node;
using torch::jit::Value;

bool is_one_tensor(const Call& call) {
  return call.node->outputs().size() == 1 && call.node->output()->type()->isSubtypeOf(*c10::TensorType::get());
}

Crossings::Crossings(const FlatGraph& flat) : flat_(flat), order_(*flat.graph), aliases_(flat.graph, false, true) {
  for (const Node* node : flat.graph->nodes())
    if (node->kind() == prim::SetAttr) written_attributes_.insert(node->s(c10::attr::name));
}

std::string Crossings::beside(const Value* output) const {
  const size_t place = order_.of(output->node());
  if (used_after(flat_.graph->inputs()[1], place)) return "the network's input is needed after it as well";
  for (const Node* node : flat_.graph->nodes()) {
    if (order_.of(node) > place) break;
    for (const Value* value : node->outputs())
      if (value != output && used_after(value, place) && !on_both_sides(value))
        return describe(value) + " is needed after it as well";
  }
  if (!used_after(output, place)) return "nothing after it uses its output";
  return "";
}

std::vector<Edge> Crossings::edges_behind(const Call& call) const {
  std::vector<Edge> edges;
  if (call.nested) return edges;
  if (is_one_tensor(call) && beside(call.node->output()).empty()) edges.push_back({call.name, call.node->output()});
  int count = 0;
  for (Node* node = call.node->next(); node->kind() != prim::Return && !holds_call(node); node = node->next()) {
    const bool tensor = node->outputs().size() == 1 && node->output()->type()->isSubtypeOf(*c10::TensorType::get());
    if (!tensor || on_both_sides(node->output()) || !beside(node->output()).empty()) continue;
    edges.push_back({call.name + "+" + std::to_string(++count), node->output()});
  }
  return edges;
}

bool Crossings::holds_call(const Node* node) const {
  return std::any_of(flat_.calls.begin(), flat_.calls.end(),
                     [&](const Call& call) { return order_.of(call.node) == order_.of(node); });
}

bool Crossings::used_after(const Value* value, size_t place) const {
  const auto& uses = value->uses();
  return std::any_of(uses.begin(), uses.end(), [&](const auto& use) { return order_.of(use.user) > place; });
}

bool Crossings::on_both_sides(const Value* value) const {
  const Node* node = value->node();
  if (value == flat_.graph->inputs()[0] || node->kind() == prim::Constant) return true;
  if (node->kind() == prim::GetAttr)
    return written_attributes_.count(node->s(c10::attr::name)) == 0 && on_both_sides(node->input());
  if (node->kind() != prim::ListConstruct && node->kind() != prim::TupleConstruct) return false;
  if (aliases_.hasWriters(value)) return false;
  const auto inputs = node->inputs();
  return std::all_of(inputs.begin(), inputs.end(), [&](const Value* input) { return on_both_sides(input); });
}

std::string Crossings::describe(const Value* value) const {
  for (const Call& call : flat_.calls)
    if (call.node == value->node()) return "the output of '" + call.name + "'";
  const std::string what = value->type()->isSubtypeOf(*c10::TensorType::get()) ? "a tensor" : value->type()->repr_str();
  return what + " from " + value->node()->kind().toQualString();
}

}  // namespace engraft::graph
