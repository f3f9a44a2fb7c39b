#include "engine/constant_convolution.h"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

namespace engraft::engine {

namespace {

using torch::jit::Node;
using torch::jit::toIValue;
using torch::jit::Value;

/// Two numbers, from a constant or from a list made of constants; one number stands for two.
std::optional<std::vector<int64_t>> constant_pair(Value* value) {
  std::vector<int64_t> numbers;
  if (const auto constant = toIValue(value)) {
    if (!constant->isIntList()) return std::nullopt;
    numbers = constant->toIntVector();
  } else {
    if (value->node()->kind() != c10::prim::ListConstruct) return std::nullopt;
    for (Value* item : value->node()->inputs()) {
      const auto number = toIValue(item);
      if (!number || !number->isInt()) return std::nullopt;
      numbers.push_back(number->toInt());
    }
  }
  if (numbers.size() == 1) numbers.push_back(numbers[0]);
  return numbers.size() == 2 ? std::make_optional(numbers) : std::nullopt;
}

}  // namespace

std::vector<Node*> readers_of_numbers(const Value* value) {
  std::vector<Node*> readers;
  for (const torch::jit::Use& use : value->uses()) {
    const c10::Symbol kind = use.user->kind();
    if (kind != c10::aten::dim && kind != c10::aten::size) readers.push_back(use.user);
  }
  return readers;
}

std::optional<at::Tensor> constant_floats(Value* value) {
  const auto constant = toIValue(value);
  if (constant && constant->isNone()) return at::Tensor();
  if (!constant || !constant->isTensor()) return std::nullopt;
  const at::Tensor tensor = constant->toTensor();
  const bool is_ours = tensor.defined() && tensor.layout() == at::kStrided && tensor.is_cpu();
  return is_ours && tensor.scalar_type() == at::kFloat ? std::make_optional(tensor) : std::nullopt;
}

std::optional<ConstantConvolution> constant_convolution(Node* node) {
  const bool is_plain = node->kind() == c10::aten::conv2d;
  if (!is_plain && node->kind() != c10::aten::convolution && node->kind() != c10::aten::_convolution)
    return std::nullopt;
  const auto weight = constant_floats(node->input(1)), bias = constant_floats(node->input(2));
  if (!weight || !weight->defined() || weight->dim() != 4 || !bias) return std::nullopt;
  const auto stride = constant_pair(node->input(3)), padding = constant_pair(node->input(4)),
             dilation = constant_pair(node->input(5));
  const auto groups = toIValue(node->input(is_plain ? 6 : 8));
  if (!stride || !padding || !dilation || !groups || !groups->isInt()) return std::nullopt;
  if (!is_plain) {
    const auto transposed = toIValue(node->input(6));
    if (!transposed || !transposed->isBool() || transposed->toBool()) return std::nullopt;
  }
  return ConstantConvolution{node, *weight, *bias, *stride, *padding, *dilation, groups->toInt()};
}

}  // namespace engraft::engine
