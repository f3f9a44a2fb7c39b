#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/named.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/trainee.h"

namespace engraft::train {

struct HeadKernels;

/// What T networks gave for rows that they learned from, [T] each: losses, summed over the rows, and how many they had
/// right.
struct HeadSums {
  std::vector<double> losses;
  std::vector<int64_t> right;
};

/// T linear layers of one shape, [B, D] to K classes, that learn by the same batches: a CPU's way. A core takes a few
/// of them at a time through many batches, so that weights and slots stay in its cache, and the gradient of a weight
/// never leaves its registers. What one learns is the same to the bit whichever others stand beside it.
class LinearHeads {
 public:
  /// Whether there is such a way for this loss and rule here: for softmax, by sgd, adamw and the two rmsprop, on a CPU
  /// with AVX2.
  static bool can_learn(const LossOptions& loss, const OptimizerSpec& rule);

  /// `weights` T times [K, D], `biases` T times [K], float32; decays of `rules`, which have all else in common. Throws
  /// UsageError for another number of class weights than K and for nesterov without momentum. `kernels`: of
  /// head_kernels.h; nullptr: the quickest that this CPU has.
  LinearHeads(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& biases, const LossOptions& loss,
              const std::vector<OptimizerSpec>& rules, const HeadKernels* kernels = nullptr);

  int64_t heads() const { return static_cast<int64_t>(decays_.size()); }
  struct Step {
    TrainBatch batch;           // inputs [B, D]
    std::vector<double> rates;  // [T]
  };
  /// One update after another, as make_optimizer() has them, to rounding; what the batches gave is added to `sums`, or
  /// begins them where they are empty.
  void learn(const std::vector<Step>& steps, HeadSums& sums);
  /// Logits [T, B, K] of rows [B, D].
  at::Tensor infer(const at::Tensor& rows) const;
  /// Of head `t`: its weight [K, D] and bias [K], copies.
  at::Tensor weight(int64_t t) const;
  at::Tensor bias(int64_t t) const;
  /// Goes on with those alone, in this order.
  void keep(const std::vector<int64_t>& heads);

 private:
  struct Packed;
  struct Moment;
  Packed pack(const at::Tensor& rows) const;
  void learn_block(const std::vector<Step>& steps, const std::vector<Packed>& packed,
                   const std::vector<Moment>& moments, int64_t first, int64_t count, HeadSums& sums);
  /// Heads that a core takes at a time.
  int64_t block() const;

  const HeadKernels* kernels_;
  LossOptions loss_;
  OptimizerSpec rule_;
  std::vector<float> decays_;  // [T]
  int64_t outputs_ = 0, columns_ = 0, panels_ = 0, panel_ = 0;
  // [T, K, panels · panel]: weights, then the bias, then zeros, which nothing moves. Slots: undefined where the rule
  // has none.
  at::Tensor weights_, first_, second_;
  std::vector<float> decayed_, ones_;  // [panel]
  int64_t updates_ = 0;
};

}  // namespace engraft::train
