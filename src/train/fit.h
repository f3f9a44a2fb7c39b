#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "stats/classification.h"
#include "tensor/named.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace engraft::train {

/// What `fit` trains: a head on features, a top and a head on activations, a whole network; it cannot tell which.
class Trainee {
 public:
  virtual ~Trainee() = default;
  /// Maps one batch of what the source gives to logits [B, outputs] float32.
  virtual at::Tensor forward(const at::Tensor& inputs) = 0;
  /// Train modes (dropout acts) or eval modes.
  virtual void set_training(bool training) = 0;
  /// What the optimiser moves; the tensors stay the same objects for the whole stage.
  virtual std::vector<tensor::NamedTensor> parameters() = 0;
  /// All that training may change, parameters and statistics.
  virtual std::vector<tensor::NamedTensor> state() = 0;
};

struct TrainBatch {
  at::Tensor inputs;  // [B, …] float32, on the trainee's device
  at::Tensor labels;  // [B] int64, on the trainee's device
};

/// Gives batches of its rows in a wanted order.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t rows() const = 0;
  /// Starts a pass over `order` (indices below rows()) in batches of `batch_size`, the last as long as what is left.
  virtual void start(const std::vector<int64_t>& order, int64_t batch_size) = 0;
  /// False at the end of the pass.
  virtual bool next(TrainBatch& batch) = 0;
};

struct FitOptions {
  int64_t epochs = 1;
  int64_t batch_size = 32;
  OptimizerSpec optimizer;
  /// total_steps and warmup_steps are set by fit.
  Schedule schedule;
  int64_t warmup_epochs = 0;
  uint64_t seed = 42;
  /// Number of the stage in the run; part of every random key.
  int64_t stage = 1;
  /// True: one logit and binary cross-entropy; false: softmax cross-entropy.
  bool sigmoid = false;
};

/// One line of metrics.jsonl: nothing in it depends on time.
struct EpochRecord {
  int64_t epoch = 0;
  double learning_rate = 0;  // at the last step of the epoch
  double train_loss = 0;     // mean over the epoch's batches as they were trained on
  double train_top1 = 0;
  double val_loss = 0;
  double val_top1 = 0;
  double seconds = 0;  // for timings.jsonl alone
};

/// Where fit stands between two steps; with the trainee's and the optimiser's state all that it needs to go on.
struct Progress {
  /// Steps done in the stage.
  int64_t step = 0;
  /// The epoch that is being trained, from 1; one more than there are when all are done.
  int64_t epoch = 1;
  /// Rows of the epoch's order that were trained on, and what they gave so far.
  int64_t rows_done = 0;
  double loss_sum = 0;
  int64_t right = 0;
  /// Of the last step.
  double learning_rate = 0;
  std::vector<EpochRecord> epochs;
  size_t best = 0;
  std::vector<tensor::NamedTensor> best_state;
};

/// Keeps what a training can go on from.
class Checkpointer {
 public:
  virtual ~Checkpointer() = default;
  /// Asked after every step.
  virtual bool is_due() = 0;
  virtual void save(const Progress& progress, Trainee& trainee, const Optimizer& optimizer) = 0;
};

/// What fit goes on from: as it was saved.
struct FitStart {
  Progress progress;
  std::vector<tensor::NamedTensor> trainee;
  std::vector<tensor::NamedTensor> optimizer;
};

/// What fit calls and where it begins; all but `on_epoch` may be missing.
struct FitHooks {
  /// After each epoch.
  std::function<void(const EpochRecord&)> on_epoch;
  Checkpointer* checkpointer = nullptr;
  const FitStart* start = nullptr;
};

struct FitResult {
  std::vector<EpochRecord> epochs;
  /// Index into epochs of the best: highest val_top1, then lowest val_loss, then the earlier.
  size_t best = 0;
  std::vector<tensor::NamedTensor> best_state;
};

/// The one training loop. Batches of an epoch are a permutation drawn from (seed, stage, epoch); LibTorch's generators
/// are seeded from (seed, stage, step) before each step, so that dropout depends on nothing else. The trainee is left
/// at its last epoch, in eval mode. From `hooks.start` it goes on as if it had never stopped: the same bits.
/// Saves a checkpoint when one is due, at the end, and before it throws Stopped.
/// Throws ModelError when the loss is not finite, naming epoch and step; Stopped when a signal asked for it.
FitResult fit(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
              const FitHooks& hooks);

/// Logits of all rows of `source` in order, in eval mode: [N, outputs], and their labels.
struct Outputs {
  std::vector<float> logits;
  int64_t width = 0;
  std::vector<int64_t> labels;
};
Outputs infer(Trainee& trainee, BatchSource& source, int64_t batch_size);

/// Cross-entropy (or binary cross-entropy of one logit) of a batch, mean over its rows.
at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& labels, bool sigmoid);

}  // namespace engraft::train
