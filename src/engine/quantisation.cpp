#include "engine/quantisation.h"

#include <algorithm>
#include <cmath>
#include <openvino/core/model.hpp>
#include <openvino/core/node.hpp>
#include <openvino/op/concat.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/convolution.hpp>
#include <openvino/op/fake_quantize.hpp>
#include <openvino/op/group_conv.hpp>
#include <openvino/op/matmul.hpp>
#include <openvino/op/maximum.hpp>
#include <openvino/op/minimum.hpp>
#include <openvino/op/reduce_max.hpp>
#include <openvino/op/reduce_min.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/op/result.hpp>
#include <openvino/op/util/max_pool_base.hpp>
#include <openvino/pass/constant_folding.hpp>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::engine {

namespace {

using Op = std::shared_ptr<ov::Node>;
using Tensor = ov::Output<ov::Node>;

template <class... Kinds>
bool is_one_of(const Op& node) {
  return (ov::is_type<Kinds>(node) || ...);
}

/// The constant float32 weights that a layer multiplies by; nullptr where it has none.
std::shared_ptr<ov::op::v0::Constant> weights_of(const Op& node) {
  if (!is_one_of<ov::op::v1::Convolution, ov::op::v1::GroupConvolution, ov::op::v0::MatMul>(node)) return nullptr;
  const auto weights = ov::as_type_ptr<ov::op::v0::Constant>(node->get_input_node_shared_ptr(1));
  return weights != nullptr && weights->get_element_type() == ov::element::f32 ? weights : nullptr;
}

/// The axes of the weights that count output channels.
std::vector<size_t> channel_axes(const Op& node) {
  if (is_one_of<ov::op::v1::GroupConvolution>(node)) return {0, 1};
  const auto product = ov::as_type_ptr<ov::op::v0::MatMul>(node);
  if (product == nullptr) return {0};
  const size_t rank = product->get_input_shape(1).size();
  if (rank < 2) return {};
  return {product->get_transpose_b() ? rank - 2 : rank - 1};
}

Op scalar(float value) { return ov::op::v0::Constant::create(ov::element::f32, ov::Shape{}, {value}); }

/// 1 where there is nothing to measure: a range must not be empty.
float or_one(float bound) { return bound > 0 && std::isfinite(bound) ? bound : 1.0F; }

/// The largest magnitude in each output channel; `channels` is the shape of the result.
std::vector<float> magnitudes(const std::vector<float>& values, const ov::Shape& shape, const std::vector<size_t>& axes,
                              const ov::Shape& channels) {
  std::vector<float> most(ov::shape_size(channels), 0);
  const auto strides = ov::row_major_strides(shape), channel_strides = ov::row_major_strides(channels);
  for (size_t i = 0; i < values.size(); ++i) {
    size_t channel = 0;
    for (const size_t axis : axes) channel += i / strides[axis] % shape[axis] * channel_strides[axis];
    most[channel] = std::max(most[channel], std::abs(values[i]));
  }
  return most;
}

Op rounded_weights(const std::shared_ptr<ov::op::v0::Constant>& weights, const std::vector<size_t>& axes, bool narrow) {
  const ov::Shape shape = weights->get_shape();
  ov::Shape channels(shape.size(), 1);
  for (const size_t axis : axes) channels[axis] = shape[axis];
  std::vector<float> highs = magnitudes(weights->cast_vector<float>(), shape, axes, channels), lows;
  for (float& high : highs) {
    high = or_one(high) * (narrow ? 127.0F / 63.0F : 1.0F);  // the largest weight is level 63 of 127
    lows.push_back(-high);
  }
  const auto low = ov::op::v0::Constant::create(ov::element::f32, channels, lows);
  const auto high = ov::op::v0::Constant::create(ov::element::f32, channels, highs);
  constexpr size_t kLevels = 255;
  return std::make_shared<ov::op::v0::FakeQuantize>(weights, low, high, low, high, kLevels);
}

Op rounded(const Tensor& tensor, const ValueRange& range) {
  constexpr size_t kLevels = 256;
  const bool has_sign = range.low < 0;
  const float most = or_one(has_sign ? std::max(-range.low, range.high * 128 / 127) : range.high);
  const Op low = scalar(has_sign ? -most : 0), high = scalar(has_sign ? most * 127 / 128 : most);
  return std::make_shared<ov::op::v0::FakeQuantize>(tensor, low, high, low, high, kLevels);
}

/// Of each picture's elements of all `tensors`, [batch].
template <class Reduce, class Join>
Tensor extreme(const std::vector<Tensor>& tensors, int64_t batch) {
  const auto axis = ov::op::v0::Constant::create(ov::element::i64, ov::Shape{1}, {1});
  const auto rows = ov::op::v0::Constant::create(ov::element::i64, ov::Shape{2}, {batch, int64_t{-1}});
  Tensor found;
  for (const Tensor& tensor : tensors) {
    const auto flat = std::make_shared<ov::op::v1::Reshape>(tensor, rows, false);
    const Tensor one = std::make_shared<Reduce>(flat, axis, false)->output(0);
    found = found.get_node() == nullptr ? one : std::make_shared<Join>(found, one)->output(0);
  }
  return found;
}

/// The places of a model.
class Quantisation {
 public:
  /// Folds the model's constants and finds the places.
  explicit Quantisation(std::shared_ptr<ov::Model> model);

  void observe(int64_t batch) const;
  void insert(const std::vector<ValueRange>& ranges, bool narrow) const;

 private:
  /// Tensors with one range, each once, and who is to read them rounded.
  struct Place {
    std::vector<Tensor> tensors;
    std::vector<ov::Input<ov::Node>> readers;
    void add(const ov::Input<ov::Node>& reader);
  };
  void add_readers(const ov::Input<ov::Node>& reader, Place& place) const;
  void add_place(Place place);

  std::shared_ptr<ov::Model> model_;
  std::vector<Op> weighted_;
  std::vector<Place> places_;
};

void Quantisation::Place::add(const ov::Input<ov::Node>& reader) {
  const Tensor tensor = reader.get_source_output();
  if (std::find(tensors.begin(), tensors.end(), tensor) == tensors.end()) tensors.push_back(tensor);
  if (std::find(readers.begin(), readers.end(), reader) == readers.end()) readers.push_back(reader);
}

Quantisation::Quantisation(std::shared_ptr<ov::Model> model) : model_(std::move(model)) {
  ov::pass::ConstantFolding().run_on_model(model_);
  for (const Op& node : model_->get_ordered_ops()) {
    if (weights_of(node) == nullptr) continue;
    weighted_.push_back(node);
    Place place;
    add_readers(node->input(0), place);
    if (!place.tensors.empty()) add_place(std::move(place));
  }
  if (weighted_.empty()) throw ModelError("int8: no convolution or matrix product has constant weights");
}

/// `reader` itself, or where it reads what was joined or pooled, the readers before that.
void Quantisation::add_readers(const ov::Input<ov::Node>& reader, Place& place) const {
  const Op source = reader.get_source_output().get_node_shared_ptr();
  if (is_one_of<ov::op::v0::Concat>(source)) {
    for (const auto& input : source->inputs()) add_readers(input, place);
  } else if (is_one_of<ov::op::util::MaxPoolBase>(source)) {
    add_readers(source->input(0), place);
  } else if (!is_one_of<ov::op::v0::Constant>(source)) {
    place.add(reader);
  }
}

/// Joined with the places that have a tensor in common with it, in the order of the first.
void Quantisation::add_place(Place place) {
  const auto shares = [&](const Place& other) {
    return std::any_of(other.tensors.begin(), other.tensors.end(), [&](const Tensor& tensor) {
      return std::find(place.tensors.begin(), place.tensors.end(), tensor) != place.tensors.end();
    });
  };
  const auto first = std::find_if(places_.begin(), places_.end(), shares);
  if (first == places_.end()) {
    places_.push_back(std::move(place));
    return;
  }
  for (auto other = std::next(first); other != places_.end();) {
    if (!shares(*other)) {
      ++other;
      continue;
    }
    for (const auto& reader : other->readers) first->add(reader);
    other = places_.erase(other);
  }
  for (const auto& reader : place.readers) first->add(reader);
}

void Quantisation::observe(int64_t batch) const {
  const ov::ResultVector before = model_->get_results();
  ov::ResultVector results;
  for (const Place& place : places_) {
    results.push_back(std::make_shared<ov::op::v0::Result>(
        extreme<ov::op::v1::ReduceMin, ov::op::v1::Minimum>(place.tensors, batch)));
    results.push_back(std::make_shared<ov::op::v0::Result>(
        extreme<ov::op::v1::ReduceMax, ov::op::v1::Maximum>(place.tensors, batch)));
  }
  model_->add_results(results);
  for (const auto& result : before) model_->remove_result(result);
  model_->validate_nodes_and_infer_types();
}

void Quantisation::insert(const std::vector<ValueRange>& ranges, bool narrow) const {
  if (ranges.size() != places_.size())
    throw ModelError(text::cat("int8: calibrated at ", ranges.size(), " places, the network has ", places_.size()));
  for (const Op& node : weighted_)
    node->input(1).replace_source_output(rounded_weights(weights_of(node), channel_axes(node), narrow)->output(0));
  for (size_t i = 0; i < places_.size(); ++i) {
    const Place& place = places_[i];
    std::vector<Op> made;
    for (const Tensor& tensor : place.tensors) made.push_back(rounded(tensor, ranges[i]));
    for (ov::Input<ov::Node> reader : place.readers) {
      const auto at = std::find(place.tensors.begin(), place.tensors.end(), reader.get_source_output());
      reader.replace_source_output(made[static_cast<size_t>(at - place.tensors.begin())]->output(0));
    }
  }
  model_->validate_nodes_and_infer_types();
}

}  // namespace

void observe(const std::shared_ptr<ov::Model>& model, int64_t batch) { Quantisation(model).observe(batch); }

void quantise(const std::shared_ptr<ov::Model>& model, const std::vector<ValueRange>& ranges, bool narrow) {
  Quantisation(model).insert(ranges, narrow);
}

}  // namespace engraft::engine
