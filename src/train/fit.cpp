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

FitResult fit(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
              const std::function<void(const EpochRecord&)>& on_epoch) {
  const int64_t steps_per_epoch = (train.rows() + options.batch_size - 1) / options.batch_size;
  Schedule schedule = options.schedule;
  schedule.total_steps = steps_per_epoch * options.epochs;
  schedule.warmup_steps = steps_per_epoch * options.warmup_epochs;
  const std::unique_ptr<Optimizer> optimizer = make_optimizer(options.optimizer, trainee.parameters());
  const uint64_t stage_key = static_cast<uint64_t>(options.stage);
  const std::string title = text::cat("stage ", options.stage);

  FitResult result;
  int64_t step = 0;
  for (int64_t epoch = 1; epoch <= options.epochs; ++epoch) {
    const Stopwatch watch;
    EpochRecord record;
    record.epoch = epoch;
    RandomStream shuffle(options.seed, {kShuffleKey, stage_key, static_cast<uint64_t>(epoch)});
    train.start(permutation(train.rows(), shuffle), options.batch_size);
    trainee.set_training(true);
    double loss_sum = 0;
    int64_t right = 0, seen = 0;
    TrainBatch batch;
    while (train.next(batch)) {
      throw_if_stopped("training");
      tensor::seed_generators(mix(mix(options.seed, kStepKey + stage_key), static_cast<uint64_t>(step)));
      record.learning_rate = rate_at(schedule, step);
      optimizer->zero_grad();
      const at::Tensor logits = trainee.forward(batch.inputs);  // [B, outputs]
      const at::Tensor loss = loss_of(logits, batch.labels, options.sigmoid);
      const double loss_value = loss.item<double>();
      if (!std::isfinite(loss_value)) {
        throw ModelError(text::cat("the loss is ", text::shortest(loss_value), " in ", title, ", epoch ", epoch,
                                   ", step ", step + 1, "; a lower --learning-rate is the usual remedy"));
      }
      loss.backward();
      optimizer->step(record.learning_rate);
      ++step;
      const int64_t rows = batch.labels.size(0);
      loss_sum += loss_value * static_cast<double>(rows);
      right += count_right(logits.detach(), batch.labels);
      seen += rows;
      reporter.progress(text::cat(title, ", epoch ", epoch, " of ", options.epochs), seen, train.rows(),
                        "loss " + text::fixed(loss_sum / static_cast<double>(seen), 4));
    }
    record.train_loss = loss_sum / static_cast<double>(seen);
    record.train_top1 = static_cast<double>(right) / static_cast<double>(seen);
    const Outputs outputs = infer(trainee, val, options.batch_size);
    const stats::Classification judged = stats::classify(outputs.logits, outputs.width, outputs.labels);
    record.val_loss = judged.loss;
    record.val_top1 = judged.top1;
    record.seconds = watch.seconds();
    if (result.epochs.empty() || is_better(record, result.epochs[result.best])) {
      result.best = result.epochs.size();
      result.best_state = tensor::snapshot(trainee.state());
    }
    result.epochs.push_back(record);
    on_epoch(record);
  }
  trainee.set_training(false);
  return result;
}

}  // namespace engraft::train
