#include "finetune/trainees.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "base/errors.h"
#include "graph/reason.h"

namespace engraft::finetune {

namespace {

void add(const std::string& prefix, const std::vector<tensor::NamedTensor>& items,
         std::vector<tensor::NamedTensor>& to) {
  for (const tensor::NamedTensor& item : items) to.push_back({prefix + item.name, item.value});
}

}  // namespace

TopTrainee::TopTrainee(const torch::jit::Module& backbone, std::string top_method, const model::FreezePlan& plan,
                       model::Pool pool, model::Head& head, std::vector<double> block_scales)
    : backbone_(backbone),
      top_method_(std::move(top_method)),
      plan_(plan),
      pool_(pool),
      head_(head),
      block_scales_(std::move(block_scales)) {}

at::Tensor TopTrainee::feature_map(const at::Tensor& inputs) {
  const tensor::AutocastGuard autocast(precision_, inputs.device());
  return backbone_.get_method(top_method_)({inputs}).toTensor();
}

// Note [No optimised executor]
// TorchScript's executor runs a graph as it is the first times and differently afterwards, once it has seen its inputs:
// parts of it by gradient formulas of its own, which round otherwise than LibTorch's. A run that is resumed would have
// its first times where an uninterrupted one has its hundredth. Unoptimised, every step is the first one.
at::Tensor TopTrainee::features(const at::Tensor& inputs) {
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  try {
    return model::pooled(feature_map(inputs).to(at::kFloat), pool_);  // of [B, C, H, W]
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ModelError("the unfrozen blocks fail in training: " + graph::reason(error));
  }
}

/// Then what comes behind the backbone.
std::vector<tensor::NamedTensor> TopTrainee::with_layers(std::vector<tensor::NamedTensor> backbone) const {
  std::vector<tensor::NamedTensor> all;
  add("backbone.", backbone, all);
  add("head.", head_.parameters(), all);
  if (projection_ != nullptr) add("teacher.", projection_->parameters(), all);
  return all;
}

at::Tensor TopTrainee::imitation(const at::Tensor& features) {
  return projection_ == nullptr ? at::Tensor() : projection_->forward(features);
}

at::Tensor TopTrainee::outputs(const at::Tensor& features) { return head_.forward(features); }

void TopTrainee::set_training(bool training) {
  if (is_training_) {  // before the modes are set anew
    const auto seen = model::frozen_in_train_mode(backbone_, plan_);
    seen_in_train_mode_.insert(seen_in_train_mode_.end(), seen.begin(), seen.end());
  }
  is_training_ = training;
  model::set_modes(backbone_, plan_, training);
  head_.set_training(training);
}

std::vector<tensor::NamedTensor> TopTrainee::parameters() {
  return with_layers(model::learning_parameters(backbone_, plan_));
}

std::vector<double> TopTrainee::rate_scales() {
  if (block_scales_.empty()) return {};
  std::vector<double> scales;
  for (const tensor::NamedTensor& item : model::learning_parameters(backbone_, plan_)) {
    double scale = 1;
    for (size_t i = 0; i < plan_.learning.size(); ++i) {
      if (model::belongs_to(item.name, plan_.learning[i])) scale = block_scales_[i];
    }
    scales.push_back(scale);
  }
  scales.resize(parameters().size(), 1.0);
  return scales;
}

std::vector<tensor::OuterGradient*> TopTrainee::outer_gradients() {
  std::vector<tensor::OuterGradient*> all(model::learning_parameters(backbone_, plan_).size(), nullptr);
  for (tensor::OuterGradient* one : head_.outer_gradients()) all.push_back(one);
  if (projection_ == nullptr) return all;
  for (tensor::OuterGradient* one : projection_->outer_gradients()) all.push_back(one);
  return all;
}

std::vector<tensor::NamedTensor> TopTrainee::state() { return with_layers(model::learning_tensors(backbone_, plan_)); }

}  // namespace engraft::finetune
