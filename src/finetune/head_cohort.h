#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "model/head.h"
#include "train/fit.h"
#include "train/packed_heads.h"

namespace engraft::finetune {

/// One of many heads that learn side by side.
struct HeadTrial {
  model::HeadOptions head;
  train::FitOptions fit;
};

/// The layers of a head, its last one included.
std::vector<model::HeadLayer> layers_of(const model::HeadOptions& options);

/// Heads that learn by the same batches, and their optimisers.
class HeadCohort {
 public:
  virtual ~HeadCohort() = default;
  /// One update of each head at its own rate, of `rates` [T]. Losses and what was right are summed, for take_sums().
  virtual void learn(const train::TrainBatch& batch, int64_t step, const std::vector<double>& rates) = 0;
  /// Of all batches since the last call, each of which was learned from when it returns.
  virtual train::HeadSums take_sums() = 0;
  /// Logits [T, B, K] of rows [B, D], on the CPU.
  virtual at::Tensor infer(const at::Tensor& rows) const = 0;
  /// Of head `t`, copies as Head names them.
  virtual std::vector<tensor::NamedTensor> parameters(int64_t t) const = 0;
  /// Goes on with those alone, in this order.
  virtual void keep(const std::vector<int64_t>& heads) = 0;
};

/// For trials that can_stand_together(), on the device of the rows. Softmax has a quicker way on the CPU. Throws
/// UsageError as make_optimizer() does.
std::unique_ptr<HeadCohort> make_head_cohort(const std::vector<HeadTrial>& trials, const c10::Device& device);

}  // namespace engraft::finetune
