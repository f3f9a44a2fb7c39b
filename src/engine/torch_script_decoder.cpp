#include "engine/torch_script_decoder.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <openvino/frontend/pytorch/decoder.hpp>
#include <openvino/frontend/pytorch/frontend.hpp>
#include <openvino/op/constant.hpp>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace engraft::engine {

namespace prim = c10::prim;
namespace type = ov::frontend::type;
using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

namespace {

ov::element::Type element_type(c10::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ov::element::f32;
    case at::kDouble:
      return ov::element::f64;
    case at::kHalf:
      return ov::element::f16;
    case at::kBFloat16:
      return ov::element::bf16;
    case at::kLong:
      return ov::element::i64;
    case at::kInt:
      return ov::element::i32;
    case at::kShort:
      return ov::element::i16;
    case at::kChar:
      return ov::element::i8;
    case at::kByte:
      return ov::element::u8;
    case at::kBool:
      return ov::element::boolean;
    default:
      return ov::element::dynamic;
  }
}

/// The type as OpenVINO's own TorchScript decoder (openvino/frontend/pytorch/ts_decoder.py) tells it.
ov::Any type_of(const c10::TypePtr& given) {
  switch (given->kind()) {
    case c10::TypeKind::IntType:
      return type::PyScalar(ov::element::i64);
    case c10::TypeKind::FloatType:
      return type::PyScalar(ov::element::f32);
    case c10::TypeKind::BoolType:
      return type::PyScalar(ov::element::boolean);
    case c10::TypeKind::TensorType: {
      const auto dtype = given->expectRef<c10::TensorType>().scalarType();
      return type::Tensor(dtype ? element_type(*dtype) : ov::element::dynamic);
    }
    case c10::TypeKind::ListType:
      return type::List(type_of(given->expectRef<c10::ListType>().getElementType()));
    case c10::TypeKind::StringType:
    case c10::TypeKind::DeviceObjType:
      return type::Str();
    case c10::TypeKind::NoneType:
      return type::PyNone();
    default:
      return ov::element::dynamic;
  }
}

std::shared_ptr<ov::Node> constant_of(const at::Tensor& tensor) {
  const auto held = std::make_shared<at::Tensor>(tensor.to(at::kCPU).contiguous());
  const ov::Shape shape(held->sizes().begin(), held->sizes().end());
  return std::make_shared<ov::op::v0::Constant>(element_type(held->scalar_type()), shape, held->const_data_ptr(), held);
}

template <class T>
std::shared_ptr<ov::Node> constant_of(ov::element::Type element, const ov::Shape& shape, const std::vector<T>& values) {
  return std::make_shared<ov::op::v0::Constant>(element, shape, values);
}

/// Tensors, numbers and lists of numbers, which become tensors of one dimension; else null.
std::shared_ptr<ov::Node> constant_of(const c10::IValue& value) {
  if (value.isTensor()) return constant_of(value.toTensor());
  if (value.isBool()) return constant_of<char>(ov::element::boolean, {}, {static_cast<char>(value.toBool())});
  if (value.isInt()) return constant_of<int64_t>(ov::element::i64, {}, {value.toInt()});
  if (value.isDouble()) return constant_of<double>(ov::element::f32, {}, {value.toDouble()});
  if (value.isIntList()) return constant_of(ov::element::i64, {value.toListRef().size()}, value.toIntVector());
  if (value.isDoubleList()) return constant_of(ov::element::f32, {value.toListRef().size()}, value.toDoubleVector());
  if (!value.isBoolList()) return nullptr;
  const auto bools = value.toBoolList();
  return constant_of(ov::element::boolean, {bools.size()}, std::vector<char>(bools.begin(), bools.end()));
}

/// What the decoders of one graph share.
struct Source {
  explicit Source(const std::shared_ptr<Graph>& given) : graph(given), aliases(given) {}
  std::shared_ptr<Graph> graph;
  torch::jit::AliasDb aliases;
};

/// A graph, a block of one of its nodes, or a node, as OpenVINO's front end reads it.
class TorchScriptDecoder : public ov::frontend::pytorch::TorchDecoder {
 public:
  TorchScriptDecoder(std::shared_ptr<const Source> source, Block* block)
      : TorchScriptDecoder(std::move(source), block, nullptr, block->inputs(), block->outputs()) {}
  TorchScriptDecoder(std::shared_ptr<const Source> source, Node* node)
      : TorchScriptDecoder(std::move(source), nullptr, node, node->inputs(), node->outputs()) {
    kind_ = node->kind().toQualString();
    if (const auto* schema = node->maybeSchema()) schema_ = c10::toString(*schema);
    if (node->kind() != prim::Constant) return;
    const auto value = torch::jit::toIValue(node->output());
    if (value && value->isString()) text_ = value->toStringRef();
    if (value && value->isDevice()) text_ = c10::DeviceTypeName(value->toDevice().type(), /*lower_case=*/true);
  }

  const std::vector<size_t>& inputs() const override { return input_ids_; }
  const std::string& get_input_debug_name(size_t index) const override { return input_names_.at(index); }
  const std::string& get_input_signature_name(size_t index) const override { return input_names_.at(index); }
  ov::PartialShape get_input_shape(size_t index) const override { return shape_of(inputs_.at(index)); }
  const std::vector<size_t>& get_input_strides(size_t) const override { return no_strides_; }
  ov::Any get_input_type(size_t index) const override { return type_of(inputs_.at(index)->type()); }
  bool input_is_none(size_t index) const override {
    return index >= inputs_.size() || inputs_[index]->type()->kind() == c10::TypeKind::NoneType;
  }
  bool is_input_inlined(size_t) const override { return false; }
  std::shared_ptr<TorchDecoder> get_inlined_input_decoder(size_t) const override { return nullptr; }

  size_t num_of_outputs() const override { return outputs_.size(); }
  size_t output_list_size() const override { return 0; }
  const std::vector<size_t>& outputs() const override { return output_ids_; }
  size_t output(size_t index) const override { return output_ids_.at(index); }
  const std::string& get_output_debug_name(size_t index) const override { return output_names_.at(index); }
  ov::PartialShape get_output_shape(size_t) const override { return ov::PartialShape::dynamic(); }
  ov::Any get_output_type(size_t index) const override { return type_of(outputs_.at(index)->type()); }

  ov::Any const_input(size_t) const override { throw std::logic_error("inputs of TorchScript are values"); }
  ov::OutputVector try_decode_get_attr() const override { return {}; }
  ov::OutputVector as_constant() const override {
    const auto value = torch::jit::toIValue(outputs_.at(0));
    const std::shared_ptr<ov::Node> constant = value ? constant_of(*value) : nullptr;
    if (constant == nullptr) return {};
    constant->set_friendly_name(output_names_.at(0));
    return constant->outputs();
  }
  const std::string& as_string() const override { return text_; }
  const std::string& get_op_type() const override { return kind_; }
  const std::string& get_schema() const override { return schema_; }
  const std::string& decoder_type_name() const override { return decoder_type_; }

  std::shared_ptr<ov::Node> mark_node(std::shared_ptr<ov::Node> node) const override {
    node->set_friendly_name(kind_ + "/" + node->get_type_name());
    return node;
  }

  size_t get_subgraph_size() const override { return node_ != nullptr ? node_->blocks().size() : 1; }
  std::shared_ptr<TorchDecoder> get_subgraph_decoder(size_t index) const override {
    return std::make_shared<TorchScriptDecoder>(source_, node_->blocks().at(index));
  }
  void visit_subgraph(std::function<void(std::shared_ptr<TorchDecoder>)> visit) const override {
    if (block_ == nullptr) return;
    for (Node* node : block_->nodes()) visit(std::make_shared<TorchScriptDecoder>(source_, node));
  }

  bool may_produce_alias(size_t in, size_t out) const override {
    // The analysis cannot rule it out for these, which give tensors of their own.
    for (const char* fresh : {"aten::conv1d", "aten::conv2d", "aten::conv3d", "aten::_convolution", "aten::matmul",
                              "aten::linear", "aten::clone"})
      if (kind_ == fresh) return false;
    return source_->aliases.mayContainAlias(inputs_.at(in), outputs_.at(out));
  }

  ov::Any get_attribute(const std::string&) const override { return {}; }
  size_t get_named_input(const std::string&) const override {
    throw std::logic_error("inputs of TorchScript have no names");
  }
  ov::frontend::pytorch::DecoderRTInfo get_rt_info() const override { return {}; }
  bool has_converter() const override { return false; }
  ov::OutputVector convert(const ov::frontend::NodeContext*) const override { return {}; }

 private:
  TorchScriptDecoder(std::shared_ptr<const Source> source, Block* block, Node* node, at::ArrayRef<Value*> inputs,
                     at::ArrayRef<Value*> outputs)
      : source_(std::move(source)), block_(block), node_(node), inputs_(inputs.vec()), outputs_(outputs.vec()) {
    for (const Value* value : inputs_) {
      input_ids_.push_back(value->unique());
      input_names_.push_back(value->debugName());
    }
    for (const Value* value : outputs_) {
      output_ids_.push_back(value->unique());
      output_names_.push_back(value->debugName());
    }
  }

  /// Shapes of the graph's inputs; what follows from them OpenVINO finds itself.
  ov::PartialShape shape_of(const Value* value) const {
    const auto tensor = value->type()->cast<c10::TensorType>();
    const auto sizes = tensor && block_ != nullptr ? tensor->sizes().concrete_sizes() : std::nullopt;
    if (!sizes) return ov::PartialShape::dynamic();
    return ov::PartialShape(std::vector<ov::Dimension>(sizes->begin(), sizes->end()));
  }

  std::shared_ptr<const Source> source_;
  Block* block_;
  Node* node_;
  std::vector<Value*> inputs_, outputs_;
  std::vector<size_t> input_ids_, output_ids_, no_strides_;
  std::vector<std::string> input_names_, output_names_;
  std::string kind_ = "block", schema_, text_, decoder_type_ = "ts";
};

bool is_tensor_list(const c10::TypePtr& given) {
  const auto list = given->cast<c10::ListType>();
  if (!list) return false;
  const auto optional = list->getElementType()->cast<c10::OptionalType>();
  return (optional ? optional->getElementType() : list->getElementType())->kind() == c10::TypeKind::TensorType;
}

/// A constant list of tensors becomes a list made of constants, the only form that the front end takes.
void open_list_constants(Graph& graph, Block* block) {
  for (auto it = block->nodes().begin(); it != block->nodes().end();) {
    Node* node = *it++;
    for (Block* inner : node->blocks()) open_list_constants(graph, inner);
    if (node->kind() != prim::Constant || !is_tensor_list(node->output()->type())) continue;
    const torch::jit::WithInsertPoint before(node);
    std::vector<Value*> items;
    const c10::IValue values = *torch::jit::toIValue(node->output());
    for (const c10::IValue& item : values.toListRef()) items.push_back(graph.insertConstant(item));
    Node* list = graph.insertNode(graph.create(prim::ListConstruct, items));
    list->output()->setType(node->output()->type());
    node->output()->replaceAllUsesWith(list->output());
    node->destroy();
  }
}

/// A constant of an optional type is one of its plain type, or of none.
void plain_optional_constants(Block* block) {
  for (Node* node : block->nodes()) {
    for (Block* inner : node->blocks()) plain_optional_constants(inner);
    if (node->kind() != prim::Constant || node->output()->type()->kind() != c10::TypeKind::OptionalType) continue;
    const c10::IValue value = *torch::jit::toIValue(node->output());
    const auto optional = node->output()->type()->expect<c10::OptionalType>();
    node->output()->setType(value.isNone() ? c10::TypePtr(c10::NoneType::get()) : optional->getElementType());
  }
}

}  // namespace

std::shared_ptr<ov::Model> openvino_model(const std::shared_ptr<Graph>& graph) {
  open_list_constants(*graph, graph->block());
  plain_optional_constants(graph->block());
  const auto source = std::make_shared<const Source>(graph);
  const std::shared_ptr<ov::frontend::IDecoder> decoder = std::make_shared<TorchScriptDecoder>(source, graph->block());
  ov::frontend::pytorch::FrontEnd front_end;
  return front_end.convert(front_end.load(decoder));
}

}  // namespace engraft::engine
