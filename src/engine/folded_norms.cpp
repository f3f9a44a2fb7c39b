#include "engine/folded_norms.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include "engine/constant_convolution.h"
#include "graph/nodes.h"

namespace engraft::engine {

namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

struct Fold {
  Node* norm;
  ConstantConvolution convolution;
  at::Tensor scale, shift, mean, variance;  // [out] float32; scale and shift may be undefined
  double eps;
};

bool is_read_only(const Node* node, const torch::jit::AliasDb& aliases) {
  for (const Value* input : node->inputs())
    if (input->node()->kind() == c10::prim::Constant && aliases.hasWriters(input)) return false;
  return true;
}

std::optional<Fold> fold_of(Node* norm, const torch::jit::AliasDb& aliases) {
  const auto convolution = constant_convolution(norm->input(0)->node());
  if (!convolution || aliases.hasWriters(norm->input(0))) return std::nullopt;
  if (!is_read_only(norm, aliases) || !is_read_only(convolution->node, aliases)) return std::nullopt;
  const auto scale = constant_floats(norm->input(1)), shift = constant_floats(norm->input(2)),
             mean = constant_floats(norm->input(3)), variance = constant_floats(norm->input(4));
  const auto training = torch::jit::toIValue(norm->input(5)), eps = torch::jit::toIValue(norm->input(7));
  if (!scale || !shift || !mean || !variance || !mean->defined() || !variance->defined()) return std::nullopt;
  if (!training || !training->isBool() || training->toBool() || !eps || !eps->isDouble()) return std::nullopt;
  return Fold{norm, *convolution, *scale, *shift, *mean, *variance, eps->toDouble()};
}

void apply(const Fold& fold) {
  at::Tensor s = fold.variance.to(at::kDouble).add_(fold.eps).rsqrt_();  // [out]
  if (fold.scale.defined()) s.mul_(fold.scale);
  at::Tensor bias = fold.mean.to(at::kDouble).neg_();  // [out]
  if (fold.convolution.bias.defined()) bias.add_(fold.convolution.bias);
  bias.mul_(s);
  if (fold.shift.defined()) bias.add_(fold.shift);
  const at::Tensor weight = fold.convolution.weight * s.to(at::kFloat).view({-1, 1, 1, 1});

  Node* old = fold.convolution.node;
  Graph& graph = *old->owningGraph();
  // Where the convolution stands: its input may be written to before the norm.
  Node* folded = graph.createClone(old, [](Value* value) { return value; })->insertAfter(old);
  const torch::jit::WithInsertPoint before(folded);
  folded->replaceInput(1, graph.insertConstant(weight));
  folded->replaceInput(2, graph.insertConstant(bias.to(at::kFloat)));
  fold.norm->output()->replaceAllUsesWith(folded->output());
  const bool is_needed = readers_of_numbers(old->output()) != std::vector<Node*>{fold.norm};
  if (!is_needed) old->output()->replaceAllUsesWith(folded->output());  // scripted norms look at their input's dim()
}

}  // namespace

int fold_norms(const std::shared_ptr<Graph>& graph) {
  std::vector<Fold> folds;
  {
    const torch::jit::AliasDb aliases(graph);
    for (Node* node : graph::nodes_of_kind(*graph, c10::aten::batch_norm))
      if (const auto fold = fold_of(node, aliases)) folds.push_back(*fold);
  }
  for (const Fold& fold : folds) apply(fold);
  torch::jit::EliminateDeadCode(graph);
  return static_cast<int>(folds.size());
}

}  // namespace engraft::engine
