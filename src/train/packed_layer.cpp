#include "train/packed_layer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/errors.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

int64_t rounded_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

double momentum_of(const OptimizerSpec& spec) {
  const double momentum = spec.momentum.value_or(spec.name == "sgd" ? kSgdMomentum : 0);
  if (spec.nesterov && momentum == 0) throw UsageError("nesterov: needs a momentum above 0");
  return momentum;
}

}  // namespace

std::optional<HeadRule> head_rule(const OptimizerSpec& spec) {
  if (spec.name == "sgd") return spec.momentum.value_or(kSgdMomentum) > 0 ? HeadRule::kMomentum : HeadRule::kSgd;
  if (spec.name == "adamw") return HeadRule::kAdamw;
  if (spec.name == "rmsprop") return HeadRule::kRmsprop;
  if (spec.name == "rmsprop_keras") return HeadRule::kKerasRmsprop;
  return std::nullopt;
}

PackedStep packed_step(const std::vector<double>& rates, int64_t update) {
  const auto steps = static_cast<double>(update);
  return {std::vector<float>(rates.begin(), rates.end()), static_cast<float>(1 / (1 - std::pow(kAdamBeta1, steps))),
          static_cast<float>(1 / std::sqrt(1 - std::pow(kAdamBeta2, steps)))};
}

PackedLayer::PackedLayer(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& biases,
                         const std::vector<OptimizerSpec>& rules, const HeadKernels& kernels)
    : kernels_(&kernels),
      rule_(head_rule(rules.front()).value()),
      nesterov_(rules.front().nesterov),
      momentum_(static_cast<float>(momentum_of(rules.front()))),
      in_(weights.front().size(1)),
      out_(weights.front().size(0)),
      panels_((in_ + 1 + kernels.panel - 1) / kernels.panel),
      ones_(static_cast<size_t>(kernels.panel), 1),
      decayed_(ones_) {
  decayed_[static_cast<size_t>(in_ % kernels.panel)] = 0;
  const auto heads = static_cast<int64_t>(weights.size());
  decays_ = at::empty({heads}, at::kFloat);
  weights_ = at::zeros({heads, out_, panels_ * kernels.panel}, at::kFloat);
  for (int64_t t = 0; t < heads; ++t) {
    const auto place = static_cast<size_t>(t);
    decays_[t] = rules[place].weight_decay;
    weight(t).copy_(weights[place]);
    bias(t).copy_(biases[place]);
  }
  if (rule_ != HeadRule::kSgd) first_ = at::zeros_like(weights_);
  const bool is_rmsprop = rule_ == HeadRule::kRmsprop || rule_ == HeadRule::kKerasRmsprop;
  if (rule_ == HeadRule::kAdamw || (is_rmsprop && momentum_ > 0)) second_ = at::zeros_like(weights_);
}

int64_t PackedLayer::bytes_of_head() const {
  const int64_t tensors = 1 + (first_.defined() ? 1 : 0) + (second_.defined() ? 1 : 0);
  return tensors * out_ * panels_ * kernels_->panel * static_cast<int64_t>(sizeof(float));
}

at::Tensor PackedLayer::empty_panels(int64_t padded) const {
  return at::empty({panels_, padded, kernels_->panel}, at::kFloat);
}

PackedRows PackedLayer::pack(const at::Tensor& rows) const {
  const at::Tensor given = rows.contiguous();
  const int64_t count = given.size(0), padded = rounded_up(count, kernels_->rows), panel = kernels_->panel;
  const at::Tensor panels = empty_panels(padded);
  float* to = panels.data_ptr<float>();
  const float* from = given.const_data_ptr<float>();
  for (int64_t first = 0; first < panels_ * panel; first += panel) {
    const int64_t here = std::min(panel, in_ - first);
    for (int64_t b = 0; b < padded; ++b, to += panel) {
      const int64_t copied = b < count ? here : 0;
      std::copy_n(from + b * in_ + first, copied, to);
      std::fill(to + copied, to + panel, 0.0F);
      if (b < count && here < panel) to[here] = 1;  // what the bias is multiplied by
    }
  }
  return {panels, {panels.const_data_ptr<float>(), padded}};
}

PackedRows PackedLayer::pack_columns(const float* columns, int64_t rows, int64_t padded) const {
  const int64_t panel = kernels_->panel;
  const at::Tensor panels = empty_panels(padded);
  float* to = panels.data_ptr<float>();
  for (int64_t first = 0; first < panels_ * panel; first += panel, to += padded * panel) {
    const int64_t here = std::min(panel, in_ - first);
    for (int64_t i = 0; i < here; ++i) {
      for (int64_t b = 0; b < padded; ++b) to[b * panel + i] = columns[(first + i) * padded + b];
    }
    for (int64_t b = 0; b < padded; ++b) {
      std::fill(to + b * panel + here, to + (b + 1) * panel, 0.0F);
      if (b < rows && here < panel) to[b * panel + here] = 1;
    }
  }
  return {panels, {panels.const_data_ptr<float>(), padded}};
}

void PackedLayer::outputs(const PackedRows& rows, int64_t first, int64_t count, float* out) const {
  kernels_->logits(rows.view, panels_, weights_.const_data_ptr<float>() + first * weights_.stride(0), count * out_,
                   out);
}

void PackedLayer::update(const PackedRows& rows, const PackedStep& step, int64_t first, int64_t count,
                         const float* gradients) {
  const int64_t place = first * weights_.stride(0);
  std::vector<float> rates, decays;
  for (int64_t t = first; t < first + count; ++t) {
    rates.insert(rates.end(), static_cast<size_t>(out_), step.rates[static_cast<size_t>(t)]);
    decays.insert(decays.end(), static_cast<size_t>(out_), decays_.const_data_ptr<float>()[t]);
  }
  HeadUpdate update;
  update.weights = weights_.data_ptr<float>() + place;
  if (first_.defined()) update.first = first_.data_ptr<float>() + place;
  if (second_.defined()) update.second = second_.data_ptr<float>() + place;
  update.gradients = gradients;
  update.rates = rates.data();
  update.decays = decays.data();
  update.ones = ones_.data();
  update.decayed = decayed_.data();
  update.outputs = count * out_;
  update.rule = rule_;
  update.nesterov = nesterov_;
  update.momentum = momentum_;
  update.correction = step.correction;
  update.root_correction = step.root_correction;
  kernels_->update(rows.view, panels_, update);
}

void PackedLayer::keep(const at::Tensor& places) {
  for (at::Tensor* each : {&decays_, &weights_, &first_, &second_}) {
    if (each->defined()) *each = each->index_select(0, places);
  }
}

}  // namespace engraft::train
