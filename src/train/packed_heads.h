#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/named.h"
#include "train/head_ops.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/trainee.h"

namespace engraft::train {

struct HeadKernels;
class PackedLayer;

/// What T networks gave for rows that they learned from, [T] each: losses, summed over the rows, and how many they had
/// right.
struct HeadSums {
  std::vector<double> losses;
  std::vector<int64_t> right;
};

/// T heads of fully connected layers, of one shape.
struct HeadStackShape {
  /// For each fully connected layer what follows it.
  std::vector<std::vector<HeadOp>> ops;
  /// For each head, of each of its dropouts in order.
  std::vector<std::vector<double>> dropouts;
};

/// T heads of one shape that learn by the same batches: a CPU's way. A core takes a few of them at a time through many
/// batches, so that weights and slots stay in its cache, and the gradient of a weight never leaves its registers. What
/// one learns is the same to the bit whichever others stand beside it, on any number of threads. A head has one core at
/// a time: a few large ones are slow.
class PackedHeads {
 public:
  /// Whether there is such a way for this loss and rule here: for softmax, by sgd, adamw and the two rmsprop, on a CPU
  /// with AVX2.
  static bool can_learn(const LossOptions& loss, const OptimizerSpec& rule);

  /// `parameters` of each head: weight [out, in] and bias [out] of its first layer, of its second, …, float32; `rules`
  /// differ in nothing but weight decay. Throws UsageError for another number of class weights than classes and for
  /// nesterov without momentum. `kernels`: of head_kernels.h; nullptr: the quickest that this CPU has.
  PackedHeads(const HeadStackShape& shape, const std::vector<std::vector<at::Tensor>>& parameters,
              const LossOptions& loss, const std::vector<OptimizerSpec>& rules, const HeadKernels* kernels = nullptr);
  ~PackedHeads();
  PackedHeads(PackedHeads&&) noexcept;
  PackedHeads& operator=(PackedHeads&&) noexcept;

  int64_t heads() const { return static_cast<int64_t>(shape_.dropouts.size()); }
  struct Step {
    TrainBatch batch;           // inputs [B, D]
    std::vector<double> rates;  // [T]
    /// Brings LibTorch's generators to where they are when one head alone begins the step: what is dropped is what
    /// at::dropout drops then. Not called where nothing is dropped.
    std::function<void()> reseed;
  };
  /// One update after another, as make_optimizer() has them, to rounding; what the batches gave is added to `sums`, or
  /// begins them where they are empty. Throws std::invalid_argument for rows of another width than the heads take and
  /// for labels that are none of their classes, and Stopped, with the heads at different steps.
  void learn(const std::vector<Step>& steps, HeadSums& sums);
  /// Logits [T, B, K] of rows [B, D], without dropout.
  at::Tensor infer(const at::Tensor& rows) const;
  /// Of head `t`, copies in the order in which they were given.
  std::vector<at::Tensor> parameters(int64_t t) const;
  /// Goes on with those alone, in this order.
  void keep(const std::vector<int64_t>& heads);

 private:
  struct Batch;
  struct Pass;
  void learn_some(const std::vector<Step>& steps, HeadSums& sums);
  /// How many steps are taken at once at most, since what they drop is drawn before.
  size_t steps_at_once(const Step& step) const;
  std::vector<std::vector<at::Tensor>> draw_masks(const Step& step, int64_t padded) const;
  at::Tensor forward(const Batch& batch, int64_t first, int64_t count, Pass* pass) const;
  at::Tensor applied(const Batch& batch, size_t layer, int64_t first, at::Tensor x, Pass* pass) const;
  at::Tensor through_ops(const Batch& batch, size_t layer, int64_t first, at::Tensor gradient, const Pass& pass) const;
  void learn_block(const std::vector<Batch>& batches, int64_t first, int64_t count, HeadSums& sums);
  void backward(const Batch& batch, int64_t first, int64_t count, at::Tensor gradient, const Pass& pass);
  /// Heads that a core takes at a time.
  int64_t block() const;
  void for_heads(const std::function<void(int64_t first, int64_t count)>& part) const;

  HeadStackShape shape_;
  LossOptions loss_;
  std::vector<PackedLayer> layers_;
  int64_t updates_ = 0;
};

}  // namespace engraft::train
