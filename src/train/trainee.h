#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/named.h"
#include "tensor/outer_gradient.h"

namespace engraft::train {

/// What `fit` trains: a head on features, a top and a head on activations, a whole network; it cannot tell which.
class Trainee {
 public:
  virtual ~Trainee() = default;
  /// Maps one batch of what the source gives to logits [B, outputs] float32, in two steps.
  at::Tensor forward(const at::Tensor& inputs) { return outputs(features(inputs)); }
  /// The first: what the last layers take, [B, …].
  virtual at::Tensor features(const at::Tensor& inputs) { return inputs; }
  /// The second, which may be given the features of many batches one below the other: a wide head is as fast as its
  /// weights can be read.
  virtual at::Tensor outputs(const at::Tensor& features) = 0;
  /// Maps features to what stands against the embedding that a teacher gives, [B, width] float32; undefined where there
  /// is no such teacher.
  virtual at::Tensor imitation(const at::Tensor&) { return {}; }
  /// Train modes (dropout acts) or eval modes.
  virtual void set_training(bool training) = 0;
  /// What the optimiser moves; the tensors stay the same objects for the whole stage.
  virtual std::vector<tensor::NamedTensor> parameters() = 0;
  /// For each of parameters(), what the learning rate is multiplied by; empty: 1 for all.
  virtual std::vector<double> rate_scales() { return {}; }
  /// For each of parameters(), where forward() can leave its gradient as factors; nullptr: nowhere. Empty: none.
  virtual std::vector<tensor::OuterGradient*> outer_gradients() { return {}; }
  /// All that training may change, parameters and statistics.
  virtual std::vector<tensor::NamedTensor> state() = 0;
};

struct TrainBatch {
  at::Tensor inputs;  // [B, …] float32, on the trainee's device
  // On the trainee's device: [B] int64; multi-label [B, K] float32 of 0 and 1; regression [B, 1] float32, standardised.
  at::Tensor labels;
  // Of mixed inputs (mixup, cutmix): the other picture's labels, and the share of `labels` in the target.
  at::Tensor other_labels;  // like labels, or undefined
  at::Tensor shares;        // [B] float32 in [0, 1], or undefined
  // What a teacher gives for the inputs, [B, width] float32, or undefined.
  at::Tensor lessons = {};
};

/// Gives batches of its rows in a wanted order.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t rows() const = 0;
  /// Starts a pass over `order` (indices below rows(), the same one several times where an epoch is balanced) in
  /// batches of `batch_size`, the last as long as what is left. `epoch`, from 1, says which views of the rows are
  /// wanted where there are several; 0 in validation. What a row gives depends on (epoch, row) and its neighbours in
  /// the batch alone, since a resumed epoch starts at the first batch that is left, and lbfgs makes several passes in
  /// one epoch.
  virtual void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) = 0;
  /// False at the end of the pass. A batch's tensors are its own: they stay as they are when the next one comes.
  virtual bool next(TrainBatch& batch) = 0;
};

}  // namespace engraft::train
