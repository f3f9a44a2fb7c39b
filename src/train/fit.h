#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "stats/judgement.h"
#include "tensor/named.h"
#include "train/loss.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/trainee.h"
#include "train/update_size.h"

namespace engraft::train {

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
  /// As LossOptions has them. Validation judges by the plain loss, without smoothing and weights.
  Target target = Target::kSoftmax;
  double label_smoothing = 0;
  std::vector<double> class_weights;
  /// Of batches that have lessons.
  TeacherLoss teacher;
  /// Of regression: how the sources' labels were standardised. Validation's metrics are in the units before.
  TargetScale scale;
  /// Labels of the training rows: an epoch then draws as many rows as there are, with replacement, every class equally
  /// often. Empty: every row once.
  std::vector<int64_t> balance_by;
  /// Batches that share one update, the last ones of an epoch as many as are left: the gradient is that of all their
  /// rows together, the rate that of the first batch's step. With class weights each batch's weighted mean counts by
  /// its rows. Of lbfgs, which takes all rows for each update, nothing.
  int64_t accumulate = 1;
  /// Longest gradient, L2 over all parameters together; longer ones are scaled down to it. 0: as they come.
  double clip_norm = 0;
  /// Validation and the result take an exponential moving average of the state that begins at the stage's first
  /// weights, with this share of the old average at every update, less in the first: min(ema, (1 + n) / (10 + n)), n
  /// from 0. Tensors that are not floating are copied. 0: the state itself.
  double ema = 0;
  /// Stops after this many epochs without a better one, better as in FitResult::best; 0: never.
  int64_t patience = 0;
  /// Whether the best epoch's state is kept, which takes the memory and, in a checkpoint, the time of the weights.
  bool keeps_best = true;
};

/// The options' schedule with the steps that `rows` training rows make of epochs and warm-up. Throws UsageError, as
/// fit() does, for options out of their ranges.
Schedule schedule_for(const FitOptions& options, int64_t rows);

/// One line of metrics.jsonl: nothing in it depends on time.
struct EpochRecord {
  int64_t epoch = 0;
  double learning_rate = 0;  // at the last step of the epoch
  double train_loss = 0;     // mean over the epoch's batches as they were trained on, a teacher's share in it
  /// Share of the epoch's rows that count_right counted.
  double train_right = 0;
  /// Of the validation rows, as stats::Judgement has them.
  double val_loss = 0;
  double val_merit = 0;
  std::vector<stats::Metric> val_metrics;
  double seconds = 0;  // for timings.jsonl alone
  /// What the epoch's first update did to each parameter; of the first three epochs and then every eighth, since it
  /// takes as long as reading and copying all weights.
  std::vector<UpdateSize> updates;
};

/// Where fit stands between two updates; with the trainee's and the optimiser's state all that it needs to go on.
struct Progress {
  /// Steps done in the stage: batches.
  int64_t step = 0;
  /// The epoch that is being trained, from 1; one more than there are when all are done.
  int64_t epoch = 1;
  /// Rows of the epoch's order that were trained on, and what they gave so far.
  int64_t rows_done = 0;
  double loss_sum = 0;
  int64_t right = 0;
  /// What the epoch's first update did; empty before it.
  std::vector<UpdateSize> update_sizes;
  /// Of the last step.
  double learning_rate = 0;
  std::vector<EpochRecord> epochs;
  size_t best = 0;
  std::vector<tensor::NamedTensor> best_state;
  /// The moving average, where one is kept (live tensors), and the updates done in the stage.
  std::vector<tensor::NamedTensor> ema;
  int64_t updates = 0;
};

/// Keeps what a training can go on from.
class Checkpointer {
 public:
  virtual ~Checkpointer() = default;
  /// Asked after every update, and at the end.
  virtual bool is_due() = 0;
  /// The trainee's state is finite, and its own where a moving average is kept.
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
  /// Index into epochs of the best: highest val_merit, then lowest val_loss, then the earlier.
  size_t best = 0;
  /// Empty where FitOptions::keeps_best is false.
  std::vector<tensor::NamedTensor> best_state;
};

/// The one training loop. The order of an epoch is epoch_order() of (seed, stage, epoch); LibTorch's generators are
/// seeded from (seed, stage, step) before each batch, so that dropout depends on nothing else. With lbfgs an epoch is
/// one update by the loss over all rows; what the epoch's record says of training is that of its first evaluation. The
/// trainee is left at its last epoch, or the average there, in eval mode. From `hooks.start` it goes on as if it had
/// never stopped: the same bits. Saves a checkpoint when one is due and before it throws Stopped, always between two
/// updates: one that is stopped half-way is undone.
/// Throws ModelError when the loss, the length of a clipped gradient, at a checkpoint or an epoch's end the state, or a
/// figure of the validation is not finite, naming stage, epoch and step, and saves nothing then; UsageError for options
/// out of their ranges, and for lbfgs with clip_norm; DataError for a start that lies outside the training; Stopped
/// when a signal asked for it.
FitResult fit(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
              const FitHooks& hooks);

/// Whether the last `patience` epochs were all no better than an earlier one, as FitOptions::patience says.
bool is_out_of_patience(const std::vector<EpochRecord>& epochs, int64_t patience);

/// What the trainee gives for all rows of `source` in order, in eval mode.
struct Outputs {
  std::vector<float> logits;  // [N, width]
  int64_t width = 0;
  /// The source's labels: those of int64 here,
  std::vector<int64_t> labels;  // [N]
  /// those of float32 here.
  std::vector<double> values;  // [N, …]
};
Outputs infer(Trainee& trainee, BatchSource& source, int64_t batch_size);

/// Outputs and labels as they are judged: of regression in the units that they had before they were standardised, the
/// outputs by the arithmetic of model.pt.
stats::Answers answers_of(const Outputs& outputs, const FitOptions& options);
/// Whether epoch `a` is better than `b`, as FitResult::best has it.
bool is_better(const EpochRecord& a, const EpochRecord& b);

}  // namespace engraft::train
