#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "model/compose.h"
#include "model/freeze.h"
#include "model/head.h"
#include "tensor/precision.h"
#include "train/fit.h"

namespace engraft::finetune {

/// The head on features [B, D].
class HeadTrainee : public train::Trainee {
 public:
  explicit HeadTrainee(model::Head& head) : head_(head) {}
  at::Tensor outputs(const at::Tensor& features) override { return head_.forward(features); }
  void set_training(bool training) override { head_.set_training(training); }
  std::vector<tensor::NamedTensor> parameters() override { return head_.parameters(); }
  std::vector<tensor::OuterGradient*> outer_gradients() override { return head_.outer_gradients(); }
  std::vector<tensor::NamedTensor> state() override { return head_.parameters(); }

 private:
  model::Head& head_;
};

/// Top and head on what the trunk gives, [B, C, H, W]. Names of the backbone's tensors are prefixed "backbone.", the
/// head's "head.".
class TopTrainee : public train::Trainee {
 public:
  /// `top_method` of `backbone` maps the cut's activations to the tap's feature map. `block_scales`: for each of
  /// `plan.learning`, what the learning rate is multiplied by; empty: 1. The head's is 1.
  TopTrainee(const torch::jit::Module& backbone, std::string top_method, const model::FreezePlan& plan,
             model::Pool pool, model::Head& head, std::vector<double> block_scales = {});
  /// What learns to give a teacher's embedding; to outlive it. Its tensors are prefixed "teacher.".
  void imitate_by(model::Head& projection) { projection_ = &projection; }
  /// What the top computes in from here on (default: float32); its feature map, pool and head are float32.
  void compute_in(tensor::Precision precision) { precision_ = precision; }
  /// [B, …], pooled.
  at::Tensor features(const at::Tensor& inputs) override;
  at::Tensor outputs(const at::Tensor& features) override;
  at::Tensor imitation(const at::Tensor& features) override;
  void set_training(bool training) override;
  std::vector<tensor::NamedTensor> parameters() override;
  std::vector<double> rate_scales() override;
  std::vector<tensor::OuterGradient*> outer_gradients() override;
  std::vector<tensor::NamedTensor> state() override;
  /// Frozen blocks whose batch norms stood in train mode when a stretch of training ended: nothing here puts them
  /// there, and whatever did has moved or used batch statistics.
  const std::vector<std::string>& frozen_seen_in_train_mode() const { return seen_in_train_mode_; }

 private:
  at::Tensor feature_map(const at::Tensor& inputs);
  std::vector<tensor::NamedTensor> with_layers(std::vector<tensor::NamedTensor> backbone) const;

  bool is_training_ = false;
  std::vector<std::string> seen_in_train_mode_;
  torch::jit::Module backbone_;
  std::string top_method_;
  model::FreezePlan plan_;
  model::Pool pool_;
  model::Head& head_;
  model::Head* projection_ = nullptr;
  std::vector<double> block_scales_;
  tensor::Precision precision_ = tensor::Precision::kFloat32;
};

}  // namespace engraft::finetune
