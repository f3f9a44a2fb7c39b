#include "finetune/head_cohort.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "finetune/head_layers.h"
#include "tensor/blocks.h"
#include "train/gradients.h"
#include "train/loss.h"
#include "train/optimizer.h"

namespace engraft::finetune {

namespace {

using Kind = model::HeadLayer::Kind;

constexpr int64_t kMostForOneCore = 2 << 20;  // a head's parameters: larger ones do better with all cores each

int64_t parameters_of(const HeadTrial& trial) {
  int64_t count = 0, in = trial.head.embedding_dim;
  for (const model::HeadLayer& layer : layers_of(trial.head)) {
    if (layer.kind != Kind::kLinear) continue;
    count += (in + 1) * layer.width;
    in = layer.width;
  }
  return count;
}

train::LossOptions loss_of(const train::FitOptions& fit) {
  return {fit.target, fit.label_smoothing, fit.class_weights, {}};
}

std::vector<model::Head> heads_of(const std::vector<HeadTrial>& trials) {
  std::vector<model::Head> heads;
  for (const HeadTrial& trial : trials) heads.emplace_back(trial.head);
  return heads;
}

/// Any layers, on any device: LibTorch's gradients, and an optimiser for each head.
class LayeredHeads : public HeadCohort {
 public:
  LayeredHeads(const std::vector<HeadTrial>& trials, const c10::Device& device)
      : fit_(trials.front().fit), layers_(layers_for(trials, device)), is_on_cpu_(device.is_cpu()) {
    for (const HeadTrial& trial : trials) rules_.push_back(trial.fit.optimizer);
    make_optimizers({});
  }

  void learn(const train::TrainBatch& batch, int64_t step, const std::vector<double>& rates) override {
    const at::Tensor logits = layers_.forward(batch.inputs, [&] {
      train::seed_step({fit_.seed, fit_.stage, step});
    });                                                                        // [B, T, K]
    const at::Tensor losses = train::losses_of(logits, batch, loss_of(fit_));  // [T]
    layers_.gradient(batch.inputs, losses);
    const at::Tensor sums = losses.detach().to(at::kDouble) * static_cast<double>(batch.labels.size(0));
    const at::Tensor right = train::counts_right(logits.detach(), batch, fit_.target);
    right_ = losses_.defined() ? right_ + right : right;
    losses_ = losses_.defined() ? losses_ + sums : sums;
    const auto move = [&](int64_t first, int64_t count) {
      for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(first + count); ++i)
        optimizers_[i]->step(rates[i]);
    };
    const auto count = static_cast<int64_t>(optimizers_.size());
    if (!is_on_cpu_) return move(0, count);
    tensor::for_blocks(count, kHeadsABlock, [&](const tensor::Block& block) { move(block.first, block.count); });
  }

  train::HeadSums take_sums() override {
    const at::Tensor losses = losses_.to(at::kCPU).contiguous(), right = right_.to(at::kCPU).contiguous();
    const double* each_loss = losses.const_data_ptr<double>();
    const int64_t* each_right = right.const_data_ptr<int64_t>();
    train::HeadSums sums{{each_loss, each_loss + losses.numel()}, {each_right, each_right + right.numel()}};
    losses_ = right_ = at::Tensor();
    return sums;
  }

  at::Tensor infer(const at::Tensor& rows) const override {
    return layers_.infer(rows).transpose(0, 1).to(at::kCPU).contiguous();
  }

  std::vector<tensor::NamedTensor> parameters(int64_t t) const override {
    return tensor::snapshot(layers_.parameters(t));
  }

  void keep(const std::vector<int64_t>& heads) override {
    std::vector<std::vector<tensor::NamedTensor>> states;
    std::vector<train::OptimizerSpec> rules;
    for (const int64_t head : heads) {
      states.push_back(tensor::snapshot(optimizers_[static_cast<size_t>(head)]->state()));
      rules.push_back(rules_[static_cast<size_t>(head)]);
    }
    optimizers_.clear();
    rules_ = std::move(rules);
    layers_ = layers_.selected(heads);
    make_optimizers(states);
  }

 private:
  static StackedLayers layers_for(const std::vector<HeadTrial>& trials, const c10::Device& device) {
    std::vector<model::Head> heads = heads_of(trials);
    std::vector<std::vector<model::HeadLayer>> layers;
    for (size_t t = 0; t < trials.size(); ++t) {
      heads[t].to(device);
      layers.push_back(layers_of(trials[t].head));
    }
    return {heads, layers};
  }

  /// `states`: what each goes on from; none at the beginning.
  void make_optimizers(const std::vector<std::vector<tensor::NamedTensor>>& states) {
    for (size_t i = 0; i < rules_.size(); ++i) {
      optimizers_.push_back(train::make_optimizer(rules_[i], layers_.parameters(static_cast<int64_t>(i))));
      if (!states.empty()) optimizers_.back()->restore(states[i]);
    }
  }

  /// As many heads a thread takes at a time.
  static constexpr int64_t kHeadsABlock = 4;

  const train::FitOptions fit_;
  StackedLayers layers_;
  const bool is_on_cpu_;
  std::vector<train::OptimizerSpec> rules_;
  std::vector<std::unique_ptr<train::Optimizer>> optimizers_;
  at::Tensor losses_, right_;  // of the epoch, [T]
};

/// On the CPU, where train::PackedHeads can. Batches are kept until there are as many as make it worth while.
class CachedHeads : public HeadCohort {
 public:
  explicit CachedHeads(const std::vector<HeadTrial>& trials) : fit_(trials.front().fit), heads_(heads_for(trials)) {}

  void learn(const train::TrainBatch& batch, int64_t step, const std::vector<double>& rates) override {
    steps_.push_back({batch, rates, [this, step] { train::seed_step({fit_.seed, fit_.stage, step}); }});
    bytes_ += static_cast<int64_t>(batch.inputs.nbytes());
    if (bytes_ >= kBytesAtATime) learn_all();
  }

  train::HeadSums take_sums() override {
    learn_all();
    return std::exchange(sums_, {});
  }

  at::Tensor infer(const at::Tensor& rows) const override { return heads_.infer(rows); }

  std::vector<tensor::NamedTensor> parameters(int64_t t) const override {
    std::vector<tensor::NamedTensor> out;
    for (const at::Tensor& value : heads_.parameters(t))
      out.push_back({text::cat("fc", out.size() / 2 + 1, out.size() % 2 == 0 ? ".weight" : ".bias"), value});
    return out;
  }

  void keep(const std::vector<int64_t>& heads) override { heads_.keep(heads); }

 private:
  static train::PackedHeads heads_for(const std::vector<HeadTrial>& trials) {
    train::HeadStackShape shape;
    for (const model::HeadLayer& layer : layers_of(trials.front().head)) {
      if (layer.kind == Kind::kLinear) {
        shape.ops.emplace_back();
      } else {
        shape.ops.back().push_back(op_of(layer.kind));
      }
    }
    std::vector<std::vector<at::Tensor>> parameters;
    std::vector<train::OptimizerSpec> rules;
    for (const HeadTrial& trial : trials) {
      shape.dropouts.emplace_back();
      for (const model::HeadLayer& layer : layers_of(trial.head)) {
        if (layer.kind == Kind::kDropout) shape.dropouts.back().push_back(layer.probability);
      }
      parameters.emplace_back();
      const model::Head head(trial.head);
      for (const tensor::NamedTensor& own : head.parameters()) parameters.back().push_back(own.value.detach());
      rules.push_back(trial.fit.optimizer);
    }
    return {shape, parameters, loss_of(trials.front().fit), rules};
  }

  void learn_all() {
    if (!steps_.empty()) heads_.learn(steps_, sums_);
    steps_.clear();
    bytes_ = 0;
  }

  static constexpr int64_t kBytesAtATime = 4 << 20;  // of rows, that the cores' common cache holds twice

  const train::FitOptions fit_;
  train::PackedHeads heads_;
  std::vector<train::PackedHeads::Step> steps_;
  int64_t bytes_ = 0;
  train::HeadSums sums_;
};

}  // namespace

std::vector<model::HeadLayer> layers_of(const model::HeadOptions& options) {
  std::vector<model::HeadLayer> layers = model::parse_head(options.spec);
  model::HeadLayer last;
  last.width = options.outputs;
  layers.push_back(last);
  return layers;
}

std::unique_ptr<HeadCohort> make_head_cohort(const std::vector<HeadTrial>& trials, const c10::Device& device) {
  const train::FitOptions& fit = trials.front().fit;
  const bool is_small = parameters_of(trials.front()) <= kMostForOneCore;
  if (device.is_cpu() && is_small && train::PackedHeads::can_learn(loss_of(fit), fit.optimizer))
    return std::make_unique<CachedHeads>(trials);
  return std::make_unique<LayeredHeads>(trials, device);
}

}  // namespace engraft::finetune
