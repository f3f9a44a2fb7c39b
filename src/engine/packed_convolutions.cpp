#include "engine/packed_convolutions.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include "engine/constant_convolution.h"
#include "graph/nodes.h"

namespace engraft::engine {

namespace {

using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

std::vector<ConstantConvolution> find_convolutions(const std::shared_ptr<Graph>& graph) {
  const torch::jit::AliasDb aliases(graph);
  std::vector<ConstantConvolution> found;
  for (Node* node : graph->nodes()) {
    const auto convolution = constant_convolution(node);
    if (!convolution || aliases.hasWriters(node->input(1)) || aliases.hasWriters(node->input(2))) continue;
    found.push_back(*convolution);
  }
  return found;
}

/// Sizes of the convolutions' inputs on `sizes`, taken on a batch of one.
std::vector<std::vector<int64_t>> input_sizes(const std::shared_ptr<Graph>& graph,
                                              const std::vector<ConstantConvolution>& convolutions,
                                              const std::vector<int64_t>& sizes) {
  const size_t outputs = graph->outputs().size();
  for (const ConstantConvolution& convolution : convolutions) graph->registerOutput(convolution.node->input(0));
  const torch::jit::Code code(graph, "sizes");
  while (graph->outputs().size() > outputs) graph->eraseOutput(graph->outputs().size() - 1);
  const at::Tensor one = at::zeros({1, sizes[1], sizes[2], sizes[3]}).contiguous(at::MemoryFormat::ChannelsLast);
  torch::jit::Stack stack{one};
  torch::jit::InterpreterState(code).run(stack);
  std::vector<std::vector<int64_t>> found;
  for (size_t i = 0; i < convolutions.size(); ++i) {
    found.push_back(stack[outputs + i].toTensor().sizes().vec());
    found.back()[0] *= sizes[0];
  }
  return found;
}

using Reorder = at::Tensor(const at::Tensor&, c10::IntArrayRef, c10::IntArrayRef, c10::IntArrayRef, int64_t,
                           at::OptionalIntArrayRef);

at::Tensor packed_weight(const ConstantConvolution& c, const std::vector<int64_t>& input) {
  static const auto reorder =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_convolution_weight", "").typed<Reorder>();
  return reorder.call(c.weight, c.padding, c.stride, c.dilation, c.groups, c10::IntArrayRef(input));
}

/// What oneDNN does with each number that it has summed.
struct Pointwise {
  Node* node = nullptr;  // takes the convolution's output; null: nothing
  std::string name = "none";
  std::vector<double> numbers;
};

Pointwise pointwise_behind(const Node* convolution) {
  const std::vector<Node*> readers = readers_of_numbers(convolution->output());
  if (readers.size() != 1) return {};
  Node* reader = readers[0];
  if (reader->owningBlock() != convolution->owningBlock()) return {};
  const c10::Symbol kind = reader->kind();
  if (kind == c10::aten::relu || kind == c10::aten::relu_) return {reader, "relu", {}};
  if (kind == c10::aten::relu6 || kind == c10::aten::relu6_) return {reader, "hardtanh", {0.0, 6.0}};
  return {};
}

Value* insert_numbers(Graph& graph, const std::vector<double>& numbers) {
  std::vector<Value*> values;
  for (const double number : numbers) values.push_back(graph.insertConstant(number));
  return graph.insertNode(graph.createList(c10::OptionalType::create(c10::NumberType::get()), values))->output();
}

/// A packed tensor has no storage, which prim::Constant asks for.
Value* insert_packed(Graph& graph, const at::Tensor& packed) {
  static const c10::Symbol op = c10::Symbol::fromQualString("prim::ConstantMKLDNNTensor");
  return graph.insertNode(graph.create(op)->t_(c10::attr::value, packed))->output();
}

void pack(const ConstantConvolution& c, const std::vector<int64_t>& input) {
  static const c10::Symbol op = c10::Symbol::fromQualString("mkldnn::_convolution_pointwise");
  Graph& graph = *c.node->owningGraph();
  const Pointwise pointwise = pointwise_behind(c.node);
  const torch::jit::WithInsertPoint here(c.node);
  Value* numbers = insert_numbers(graph, pointwise.numbers);
  Value* weight = insert_packed(graph, packed_weight(c, input));
  Value* packed = graph.insert(op, {c.node->input(0), weight, c.node->input(2), c.padding, c.stride, c.dilation,
                                    c.groups, pointwise.name, numbers, torch::jit::IValue()});
  if (pointwise.node != nullptr) pointwise.node->output()->replaceAllUsesWith(packed);
  c.node->output()->replaceAllUsesWith(packed);
  if (pointwise.node != nullptr) pointwise.node->destroy();
  c.node->destroy();
}

}  // namespace

int pack_convolutions(const std::shared_ptr<Graph>& graph, const std::vector<int64_t>& sizes) {
  if (!at::hasMKLDNN()) return 0;
  const std::vector<ConstantConvolution> convolutions = find_convolutions(graph);
  const auto inputs = input_sizes(graph, convolutions, sizes);
  for (size_t i = 0; i < convolutions.size(); ++i) pack(convolutions[i], inputs[i]);
  torch::jit::EliminateDeadCode(graph);
  return static_cast<int>(convolutions.size());
}

}  // namespace engraft::engine
