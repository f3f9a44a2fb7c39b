#pragma once

#include <cstdint>
#include <string>

#include "train/loss.h"
#include "train/trainee.h"

namespace engraft::train {

/// Where a training is, for errors: "stage 1, epoch 2, step 31".
struct Where {
  int64_t stage = 1;
  int64_t epoch = 1;
  /// From 1; 0: at the epoch's end.
  int64_t step = 1;
};

/// Throws ModelError "WHAT is VALUE in stage …" where `value` is not finite.
void check_finite(const std::string& what, double value, const Where& where);

/// Throws ModelError "'NAME' is not finite in stage …" for the first floating tensor with an element that is not.
void check_finite(const std::vector<tensor::NamedTensor>& tensors, const Where& where);

/// What a training's random draws depend on besides their own key.
struct StepKey {
  uint64_t seed = 42;
  int64_t stage = 1;
  /// From 0, counted in batches.
  int64_t step = 0;
};

/// Seeds LibTorch's generators for one batch.
void seed_step(const StepKey& key);

struct BatchLoss {
  at::Tensor loss;    // scalar
  at::Tensor logits;  // [B, outputs]
};

/// The loss that a batch is trained by: of its labels, and where it has lessons a teacher's share.
BatchLoss loss_of(Trainee& trainee, const TrainBatch& batch, const LossOptions& options);

struct BatchOutcome {
  double loss = 0;
  int64_t right = 0;
  int64_t rows = 0;
};

/// What the batches of an update gave together.
struct BatchSums {
  int64_t batches = 0;
  int64_t rows = 0;
  int64_t right = 0;
  double loss = 0;  // of each row, summed

  void add(const BatchOutcome& batch) {
    ++batches;
    rows += batch.rows;
    right += batch.right;
    loss += batch.loss * static_cast<double>(batch.rows);
  }
};

/// loss_of() a batch; its gradient times `share` is added to the parameters' where the loss is
/// finite, and not where it is not.
BatchOutcome add_gradient(Trainee& trainee, const TrainBatch& batch, const LossOptions& options, double share);

/// L2 over the gradients of all parameters, as they were; one longer than `longest` is scaled by longest / (L2 + 1e-6),
/// as torch.nn.utils.clip_grad_norm_ does.
double clip_gradient(Trainee& trainee, double longest);

}  // namespace engraft::train
