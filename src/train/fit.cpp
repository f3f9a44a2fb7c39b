#include "train/fit.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "base/stop.h"
#include "base/text.h"
#include "tensor/device.h"

namespace engraft::train {

namespace {

constexpr uint64_t kShuffleKey = 0x73687566;  // "shuf"
constexpr uint64_t kStepKey = 0x73746570;     // "step"

std::vector<int64_t> identity_order(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) order[static_cast<size_t>(i)] = i;
  return order;
}

int64_t count_right(const at::Tensor& logits, const at::Tensor& labels) {
  const at::Tensor predicted = logits.size(1) == 1 ? logits.squeeze(1).gt(0).to(at::kLong) : logits.argmax(1);  // [B]
  return predicted.eq(labels).sum().item<int64_t>();
}

bool is_better(const EpochRecord& a, const EpochRecord& b) {
  return a.val_top1 != b.val_top1 ? a.val_top1 > b.val_top1 : a.val_loss < b.val_loss;
}

}  // namespace

at::Tensor loss_of(const at::Tensor& logits, const at::Tensor& labels, bool sigmoid) {
  if (sigmoid) return at::binary_cross_entropy_with_logits(logits.squeeze(1), labels.to(logits.scalar_type()));
  return at::cross_entropy_loss(logits, labels);
}

Outputs infer(Trainee& trainee, BatchSource& source, int64_t batch_size) {
  trainee.set_training(false);
  c10::NoGradGuard no_grad;
  Outputs out;
  source.start(identity_order(source.rows()), batch_size);
  TrainBatch batch;
  while (source.next(batch)) {
    throw_if_stopped("evaluating");
    const at::Tensor logits = trainee.forward(batch.inputs).to(at::kCPU, at::kFloat).contiguous();  // [B, outputs]
    const at::Tensor labels = batch.labels.to(at::kCPU).contiguous();
    out.width = logits.size(1);
    out.logits.insert(out.logits.end(), logits.const_data_ptr<float>(),
                      logits.const_data_ptr<float>() + logits.numel());
    out.labels.insert(out.labels.end(), labels.const_data_ptr<int64_t>(),
                      labels.const_data_ptr<int64_t>() + labels.numel());
  }
  return out;
}

namespace {

/// One call of fit.
class Fitting {
 public:
  Fitting(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
          const FitHooks& hooks)
      : trainee_(trainee),
        train_(train),
        val_(val),
        options_(options),
        reporter_(reporter),
        hooks_(hooks),
        optimizer_(make_optimizer(options.optimizer, trainee.parameters())),
        schedule_(options.schedule),
        stage_key_(static_cast<uint64_t>(options.stage)),
        title_(text::cat("stage ", options.stage)) {
    const int64_t steps_per_epoch = (train.rows() + options.batch_size - 1) / options.batch_size;
    schedule_.total_steps = steps_per_epoch * options.epochs;
    schedule_.warmup_steps = steps_per_epoch * options.warmup_epochs;
    if (hooks.start == nullptr) return;
    now_ = hooks.start->progress;
    tensor::restore(hooks.start->trainee, trainee.state());
    optimizer_->restore(hooks.start->optimizer);
  }

  FitResult run() {
    try {
      while (now_.epoch <= options_.epochs) {
        const Stopwatch watch;
        train_epoch();
        end_epoch(watch);
      }
      if (hooks_.checkpointer != nullptr) save();
    } catch (const Stopped&) {
      if (hooks_.checkpointer != nullptr) save();
      throw;
    }
    trainee_.set_training(false);
    return {now_.epochs, now_.best, now_.best_state};
  }

 private:
  void save() { hooks_.checkpointer->save(now_, trainee_, *optimizer_); }

  /// What is left of the epoch, up to its last step.
  void train_epoch() {
    RandomStream shuffle(options_.seed, {kShuffleKey, stage_key_, static_cast<uint64_t>(now_.epoch)});
    std::vector<int64_t> order = permutation(train_.rows(), shuffle);
    order.erase(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(now_.rows_done));
    train_.start(order, options_.batch_size);
    trainee_.set_training(true);
    TrainBatch batch;
    throw_if_stopped("training");
    while (train_.next(batch)) {
      train_step(batch);
      if (hooks_.checkpointer != nullptr && hooks_.checkpointer->is_due()) save();
      throw_if_stopped("training");
    }
  }

  void train_step(const TrainBatch& batch) {
    tensor::seed_generators(mix(mix(options_.seed, kStepKey + stage_key_), static_cast<uint64_t>(now_.step)));
    now_.learning_rate = rate_at(schedule_, now_.step);
    optimizer_->zero_grad();
    const at::Tensor logits = trainee_.forward(batch.inputs);  // [B, outputs]
    const at::Tensor loss = loss_of(logits, batch.labels, options_.sigmoid);
    const double loss_value = loss.item<double>();
    if (!std::isfinite(loss_value)) {
      throw ModelError(text::cat("the loss is ", text::shortest(loss_value), " in ", title_, ", epoch ", now_.epoch,
                                 ", step ", now_.step + 1, "; a lower --learning-rate is the usual remedy"));
    }
    loss.backward();
    optimizer_->step(now_.learning_rate);
    ++now_.step;
    const int64_t rows = batch.labels.size(0);
    now_.loss_sum += loss_value * static_cast<double>(rows);
    now_.right += count_right(logits.detach(), batch.labels);
    now_.rows_done += rows;
    reporter_.progress(text::cat(title_, ", epoch ", now_.epoch, " of ", options_.epochs), now_.rows_done,
                       train_.rows(), "loss " + text::fixed(now_.loss_sum / static_cast<double>(now_.rows_done), 4));
  }

  /// Validates, keeps the best, and turns to the next epoch.
  void end_epoch(const Stopwatch& watch) {
    EpochRecord record;
    record.epoch = now_.epoch;
    record.learning_rate = now_.learning_rate;
    record.train_loss = now_.loss_sum / static_cast<double>(now_.rows_done);
    record.train_top1 = static_cast<double>(now_.right) / static_cast<double>(now_.rows_done);
    const Outputs outputs = infer(trainee_, val_, options_.batch_size);
    const stats::Classification judged = stats::classify(outputs.logits, outputs.width, outputs.labels);
    record.val_loss = judged.loss;
    record.val_top1 = judged.top1;
    record.seconds = watch.seconds();
    if (now_.epochs.empty() || is_better(record, now_.epochs[now_.best])) {
      now_.best = now_.epochs.size();
      now_.best_state = tensor::snapshot(trainee_.state());
    }
    now_.epochs.push_back(record);
    hooks_.on_epoch(record);
    ++now_.epoch;
    now_.rows_done = now_.right = 0;
    now_.loss_sum = 0;
  }

  Trainee& trainee_;
  BatchSource& train_;
  BatchSource& val_;
  const FitOptions& options_;
  Reporter& reporter_;
  const FitHooks& hooks_;
  const std::unique_ptr<Optimizer> optimizer_;
  Schedule schedule_;
  const uint64_t stage_key_;
  const std::string title_;
  Progress now_;
};

}  // namespace

FitResult fit(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
              const FitHooks& hooks) {
  return Fitting(trainee, train, val, options, reporter, hooks).run();
}

}  // namespace engraft::train
