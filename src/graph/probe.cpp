#include "graph/probe.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/function_impl.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "base/errors.h"
#include "base/text.h"
#include "graph/cuts.h"
#include "graph/eval_scope.h"
#include "graph/flatten.h"
#include "graph/flops.h"
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

std::string refusal(const at::Tensor& x, const std::exception& error) {
  return "the network does not take " + text::shape(x.sizes().vec()) + ": " + reason(error);
}

/// The inputs of every call in the outermost block, tensors cloned on the way so that later in-place work does not
/// reach them: one tuple a call, in their order.
std::vector<std::vector<IValue>> inputs_of_calls(const FlatGraph& flat, const at::Tensor& x) {
  const auto graph = flat.graph->copy();
  std::vector<Value*> tuples;
  for (Node* node : graph->nodes()) {
    if (node->kind() != prim::CallMethod || !module_path(node->input(0))) continue;
    torch::jit::WithInsertPoint guard(node);
    std::vector<Value*> inputs;
    for (Value* input : node->inputs().slice(1)) {
      const bool tensor = input->type()->isSubtypeOf(*c10::TensorType::get());
      inputs.push_back(tensor ? graph->insert(c10::aten::clone, {input}) : input);
    }
    tuples.push_back(graph->insertNode(graph->createTuple(inputs))->output());
  }
  set_outputs(*graph, {graph->insertNode(graph->createTuple(tuples))->output()});

  torch::jit::GraphFunction function("engraft_probe", graph, nullptr);
  const IValue result = function({flat.root._ivalue(), x});
  std::vector<std::vector<IValue>> inputs;
  for (const IValue& tuple : result.toTuple()->elements()) {
    const auto& elements = tuple.toTuple()->elements();
    inputs.emplace_back(elements.begin(), elements.end());
  }
  return inputs;
}

void count_tensors(const Module& module, BlockProbe& block) {
  for (const at::Tensor& parameter : module.parameters()) block.parameters += parameter.numel();
  for (const at::Tensor& buffer : module.buffers()) block.buffers += buffer.numel();
}

void run_block(const Module& module, const Call& call, std::vector<IValue> inputs, BlockProbe& block) {
  for (const IValue& input : inputs)
    if (input.isTensor()) block.input_shapes.push_back(input.toTensor().sizes().vec());
  const FlopCounter counter;
  const IValue output = module.get_method(call.node->s(c10::attr::name))(std::move(inputs));
  block.flops = counter.flops();
  if (output.isTensor()) {
    block.output_shape = output.toTensor().sizes().vec();
    block.output = text::shape(block.output_shape);
    block.output_bytes = static_cast<int64_t>(output.toTensor().nbytes());
  } else {
    block.output = output.isTuple() ? "tuple" : output.tagKind();
  }
}

std::vector<at::Tensor> tensors_of(const IValue& value) {
  if (value.isTensor()) return {value.toTensor()};
  std::vector<at::Tensor> found;
  if (value.isTuple())
    for (const IValue& element : value.toTuple()->elements())
      for (const at::Tensor& tensor : tensors_of(element)) found.push_back(tensor);
  return found;
}

/// "" when `three`, made from a batch whose first row made `one`, is what a network over independent rows gives.
std::string compare_rows(const at::Tensor& one, const at::Tensor& three) {
  std::vector<int64_t> expected = one.sizes().vec();
  if (expected.empty() || expected[0] != 1)
    return text::cat("a batch of 1 gives ", text::shape(expected), "; expected one row an image");
  expected[0] = 3;
  if (three.sizes().vec() != expected)
    return text::cat("a batch of 3 gives ", text::shape(three.sizes().vec()), "; expected ", text::shape(expected),
                     ": the network was traced with a fixed batch size");
  if (!one.is_floating_point() || one.numel() == 0) return "";
  const double difference = (three.narrow(0, 0, 1) - one).abs().max().item<double>();
  const double largest = one.abs().max().item<double>();
  if (difference <= 1e-3 * largest) return "";
  return text::cat("the same image gives other values in a batch of 3 (difference ", difference, " at values up to ",
                   largest, "): images of one batch are mixed");
}

}  // namespace

std::vector<BlockProbe> probe(const Module& module, const Anatomy& anatomy, const at::Tensor& x) try {
  const EvalScope eval(module);
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);  // it would take longer than the one run
  const FlatGraph& flat = anatomy.flat();
  const auto inputs = inputs_of_calls(flat, x);
  std::vector<BlockProbe> blocks;
  size_t next = 0;
  for (const Call& call : flat.calls) {
    BlockProbe block;
    block.name = call.name;
    const Module child = submodule(module, call.path);
    count_tensors(child, block);
    if (call.nested)
      block.output = "not run";
    else
      run_block(child, call, inputs.at(next++), block);
    blocks.push_back(std::move(block));
  }
  return blocks;
} catch (const Error&) {
  throw;
} catch (const std::exception& error) {
  throw ModelError(refusal(x, error));
}

std::string check_batch(const Module& module, const at::Tensor& one) {
  if (one.dim() < 1 || one.size(0) != 1)
    throw UsageError("expected a batch of 1, found " + text::shape(one.sizes().vec()));
  const EvalScope eval(module);
  const auto run = [&](const at::Tensor& x) { return tensors_of(module.get_method("forward")({x.clone()})); };
  const auto alone = [&] {
    try {
      return run(one);
    } catch (const std::exception& error) {
      throw ModelError(refusal(one, error));
    }
  }();
  std::vector<at::Tensor> three;
  try {
    three = run(at::cat({one, one.flip({-1}), one * 0.5}));
  } catch (const std::exception& error) {
    return "a batch of 3 fails where a batch of 1 works: the network was traced with a fixed batch size (" +
           reason(error) + ")";
  }
  if (alone.size() != three.size())
    return text::cat("a batch of 3 gives ", three.size(), " tensors, a batch of 1 gives ", alone.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    const std::string problem = compare_rows(alone[i], three[i]);
    if (!problem.empty()) return problem;
  }
  return "";
}

}  // namespace engraft::graph
