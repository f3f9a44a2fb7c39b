#include "engine/response_norm.h"

#include <algorithm>
#include <openvino/core/graph_util.hpp>
#include <openvino/core/model.hpp>
#include <openvino/core/node.hpp>
#include <openvino/op/add.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/convert.hpp>
#include <openvino/op/convolution.hpp>
#include <openvino/op/divide.hpp>
#include <openvino/op/multiply.hpp>
#include <openvino/op/power.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/op/sqrt.hpp>
#include <openvino/op/squeeze.hpp>
#include <openvino/op/unsqueeze.hpp>
#include <openvino/op/util/avg_pool_base.hpp>
#include <openvino/op/util/pad_base.hpp>
#include <openvino/pass/constant_folding.hpp>
#include <optional>
#include <utility>

namespace engraft::engine {

namespace {

using Op = std::shared_ptr<ov::Node>;
using Tensor = ov::Output<ov::Node>;

/// The value before conversions to the type that it has already, which the frontend leaves everywhere.
Tensor plain(Tensor value) {
  while (ov::is_type<ov::op::v0::Convert>(value.get_node_shared_ptr()) &&
         value.get_node()->get_input_element_type(0) == value.get_element_type())
    value = value.get_node()->input_value(0);
  return value;
}

/// The number that a constant of one element holds.
std::optional<double> number_of(const Tensor& value) {
  const auto constant = ov::as_type_ptr<ov::op::v0::Constant>(plain(value).get_node_shared_ptr());
  if (constant == nullptr || ov::shape_size(constant->get_shape()) != 1) return std::nullopt;
  return constant->cast_vector<double>().front();
}

/// The other operand of a sum or product with a number, and the number.
template <class Kind>
std::optional<std::pair<Tensor, double>> with_number(const Tensor& value) {
  const Op op = plain(value).get_node_shared_ptr();
  if (!ov::is_type<Kind>(op)) return std::nullopt;
  for (const size_t i : {0, 1}) {
    if (const auto number = number_of(op->input_value(1 - i))) return std::make_pair(op->input_value(i), *number);
  }
  return std::nullopt;
}

/// What a value is made of by giving it another shape alone.
Tensor without_views(Tensor value) {
  for (;;) {
    value = plain(value);
    const Op op = value.get_node_shared_ptr();
    const bool is_view = ov::is_type<ov::op::v1::Reshape>(op) || ov::is_type<ov::op::v0::Squeeze>(op) ||
                         ov::is_type<ov::op::v15::Squeeze>(op) || ov::is_type<ov::op::v0::Unsqueeze>(op);
    if (!is_view) return value;
    value = op->input_value(0);
  }
}

bool is_square_of(const Tensor& value, const Tensor& x) {
  const Op op = value.get_node_shared_ptr();
  if (ov::is_type<ov::op::v1::Multiply>(op)) return plain(op->input_value(0)) == x && plain(op->input_value(1)) == x;
  return ov::is_type<ov::op::v1::Power>(op) && plain(op->input_value(0)) == x && number_of(op->input_value(1)) == 2.0;
}

/// The axis of `value`, a view of `of` [N, C, …], that is its channels; none where it is not one of its own.
std::optional<size_t> channel_axis(const Tensor& value, const ov::Shape& of) {
  if (value.get_partial_shape().is_dynamic()) return std::nullopt;
  const ov::Shape shape = value.get_shape();
  if (ov::shape_size(shape) != ov::shape_size(of)) return std::nullopt;
  size_t before = 1;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (before == of[0] && shape[axis] == of[1]) return axis;
    before *= shape[axis];
  }
  return std::nullopt;
}

/// What is padded at the axes' beginnings and ends; empty where that is not with zeros.
struct Padding {
  std::vector<int64_t> begin, end;
};

std::optional<Padding> padding_of(const Op& op) {
  const auto pad = ov::as_type_ptr<ov::op::util::PadBase>(op);
  const bool is_zero = pad != nullptr && pad->get_pad_mode() == ov::op::PadMode::CONSTANT &&
                       (pad->get_input_size() < 4 || number_of(pad->input_value(3)) == 0.0);
  if (!is_zero) return std::nullopt;
  const auto begin = pad->get_pads_begin(), end = pad->get_pads_end();
  return Padding{{begin.begin(), begin.end()}, {end.begin(), end.end()}};
}

/// How many channels the mean of x² goes over that `value` is; none where it is no such mean.
std::optional<size_t> channels_averaged(const Tensor& value, const Tensor& x) {
  const auto pool = ov::as_type_ptr<ov::op::util::AvgPoolBase>(without_views(value).get_node_shared_ptr());
  if (pool == nullptr) return std::nullopt;
  const Tensor padded = without_views(pool->input_value(0));
  const auto padding = padding_of(padded.get_node_shared_ptr());
  if (!padding) return std::nullopt;
  const Tensor whole = padded.get_node()->input_value(0);
  if (!is_square_of(without_views(whole), x)) return std::nullopt;

  const auto all = [](const auto& values, size_t wanted) {
    return std::all_of(values.begin(), values.end(), [&](size_t one) { return one == wanted; });
  };
  const size_t size = ov::shape_size(pool->get_kernel()), half = size / 2;  // where it is long on one axis alone
  ov::Shape with_padding = x.get_shape();
  with_padding[1] += 2 * half;
  const auto padded_axis = channel_axis(whole, x.get_shape()),
             pooled_axis = channel_axis(pool->input_value(0), with_padding);
  const bool is_row = size % 2 == 1 && padded_axis && pooled_axis && *pooled_axis >= 2 &&
                      pool->get_kernel()[*pooled_axis - 2] == size && all(pool->get_strides(), 1) &&
                      all(pool->get_pads_begin(), 0) && all(pool->get_pads_end(), 0);
  if (!is_row) return std::nullopt;
  for (size_t i = 0; i < padding->begin.size(); ++i) {
    const auto wanted = static_cast<int64_t>(i == *padded_axis ? half : 0);
    if (padding->begin[i] != wanted || padding->end[i] != wanted) return std::nullopt;
  }
  return size;
}

Op scalar(double value) { return ov::op::v0::Constant::create(ov::element::f32, ov::Shape{}, {value}); }

/// Weights [C, C, 1, 1] by which each channel becomes `alpha` times the mean of the `size` ones around it, of which
/// those beyond the first and the last count as 0.
Op band(size_t channels, size_t size, double alpha) {
  std::vector<float> weights(channels * channels, 0);
  for (size_t out = 0; out < channels; ++out) {
    const size_t first = out - std::min(out, size / 2), last = std::min(channels, out + size / 2 + 1);
    for (size_t in = first; in < last; ++in)
      weights[out * channels + in] = static_cast<float>(alpha / static_cast<double>(size));
  }
  return ov::op::v0::Constant::create(ov::element::f32, ov::Shape{channels, channels, 1, 1}, weights);
}

/// `value` above 0 to the power of `beta`; three quarters, which nearly all have, by roots: a power is a logarithm and
/// an exponential.
Op raised(const Op& value, double beta) {
  if (beta != 0.75) return std::make_shared<ov::op::v1::Power>(value, scalar(beta));
  const auto root = std::make_shared<ov::op::v0::Sqrt>(value);
  return std::make_shared<ov::op::v1::Multiply>(root, std::make_shared<ov::op::v0::Sqrt>(root));
}

/// The normalisation that `divide` ends; nullptr where it ends none.
Op response_norm(const Op& divide) {
  if (!ov::is_type<ov::op::v1::Divide>(divide)) return nullptr;
  const Tensor x = plain(divide->input_value(0));
  if (x.get_partial_shape().is_dynamic() || x.get_shape().size() != 4) return nullptr;
  const Op power = plain(divide->input_value(1)).get_node_shared_ptr();
  if (!ov::is_type<ov::op::v1::Power>(power)) return nullptr;
  const auto beta = number_of(power->input_value(1));
  const auto sum = with_number<ov::op::v1::Add>(power->input_value(0));
  if (!beta || !sum) return nullptr;
  const auto product = with_number<ov::op::v1::Multiply>(sum->first);
  if (!product) return nullptr;
  const auto size = channels_averaged(product->first, x);
  if (!size) return nullptr;
  const auto square = std::make_shared<ov::op::v1::Multiply>(x, x);
  const auto mean = std::make_shared<ov::op::v1::Convolution>(square, band(x.get_shape()[1], *size, product->second),
                                                              ov::Strides{1, 1}, ov::CoordinateDiff{0, 0},
                                                              ov::CoordinateDiff{0, 0}, ov::Strides{1, 1});
  const auto denominator = std::make_shared<ov::op::v1::Add>(mean, scalar(sum->second));
  return std::make_shared<ov::op::v1::Divide>(x, raised(denominator, *beta));
}

}  // namespace

void shorten_response_norms(const std::shared_ptr<ov::Model>& model) {
  ov::pass::ConstantFolding().run_on_model(model);
  for (const Op& op : model->get_ordered_ops()) {
    if (const Op norm = response_norm(op)) ov::replace_node(op, norm);
  }
}

}  // namespace engraft::engine
