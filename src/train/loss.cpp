#include "train/loss.h"

#include <ATen/ATen.h>

#include <limits>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::train {

namespace {

constexpr int64_t kIgnoreNone = -100;                           // no label is this
constexpr float kNoWeight = std::numeric_limits<float>::min();  // of a batch of weightless rows: its loss is 0

/// [K] like `logits`; undefined where all classes weigh 1.
at::Tensor class_weights(const at::Tensor& logits, const LossOptions& options) {
  if (options.class_weights.empty()) return {};
  const int64_t classes = options.target == Target::kSigmoid ? 2 : logits.size(1);
  const auto given = static_cast<int64_t>(options.class_weights.size());
  if (given != classes) {
    throw UsageError(text::cat("class weights: expected ", classes, ", one for each class, found ", given));
  }
  return at::tensor(options.class_weights, at::kDouble).to(logits.options());
}

at::Tensor sigmoid_loss(const at::Tensor& logits, const at::Tensor& labels, double smoothing, int64_t reduction) {
  const at::Tensor z = logits.squeeze(1);  // [B]
  at::Tensor targets = labels.to(z.scalar_type());
  if (smoothing > 0) targets = targets * (1 - smoothing) + smoothing / 2;
  return at::binary_cross_entropy_with_logits(z, targets, /*weight=*/{}, /*pos_weight=*/{}, reduction);
}

/// [B], each row already times the weight of its label.
at::Tensor row_losses(const at::Tensor& logits, const at::Tensor& labels, const at::Tensor& weights,
                      const LossOptions& options) {
  if (options.target == Target::kSoftmax) {
    return at::cross_entropy_loss(logits, labels, weights, at::Reduction::None, kIgnoreNone, options.label_smoothing);
  }
  const at::Tensor losses = sigmoid_loss(logits, labels, options.label_smoothing, at::Reduction::None);
  return weights.defined() ? losses * weights.index_select(0, labels) : losses;
}

at::Tensor row_weights(const at::Tensor& labels, const at::Tensor& weights, const at::Tensor& logits) {
  return weights.defined() ? weights.index_select(0, labels) : at::ones(labels.sizes(), logits.options());
}

/// One class of each row.
at::Tensor single_label_loss(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options) {
  const at::Tensor weights = class_weights(logits, options);
  const bool is_mixed = batch.other_labels.defined();
  if (!is_mixed && !weights.defined()) {
    if (options.target == Target::kSigmoid)
      return sigmoid_loss(logits, batch.labels, options.label_smoothing, at::Reduction::Mean);
    return at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean, kIgnoreNone, options.label_smoothing);
  }
  at::Tensor losses = row_losses(logits, batch.labels, weights, options);
  at::Tensor counts = row_weights(batch.labels, weights, logits);
  if (is_mixed) {
    const at::Tensor share = batch.shares.to(logits.scalar_type()), rest = 1 - share;  // [B]
    losses = share * losses + rest * row_losses(logits, batch.other_labels, weights, options);
    counts = share * counts + rest * row_weights(batch.other_labels, weights, logits);
  }
  return losses.sum() / counts.sum().clamp_min(kNoWeight);
}

/// `one` of the batch's labels and `other` of a mixed batch's other labels, [B, …], by their shares.
at::Tensor by_shares(const at::Tensor& one, const at::Tensor& other, const TrainBatch& batch) {
  const at::Tensor share = batch.shares.to(one.scalar_type()).unsqueeze(1);  // [B, 1]
  return share * one + (1 - share) * other;
}

at::Tensor multi_label_loss(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options) {
  at::Tensor targets = batch.labels.to(logits.scalar_type());  // [B, K]
  // The loss is linear in the target: that of the mean is the mean of the losses.
  if (batch.other_labels.defined()) targets = by_shares(targets, batch.other_labels.to(targets.scalar_type()), batch);
  if (options.label_smoothing > 0) targets = targets * (1 - options.label_smoothing) + options.label_smoothing / 2;
  return at::binary_cross_entropy_with_logits(logits, targets, /*weight=*/{}, class_weights(logits, options),
                                              at::Reduction::Mean);
}

at::Tensor regression_loss(const at::Tensor& outputs, const TrainBatch& batch, const LossOptions& options) {
  if (options.label_smoothing > 0)
    throw UsageError("label smoothing: regression has no classes to spread a label over");
  if (!options.class_weights.empty()) throw UsageError("class weights: regression has no classes");
  const auto squared_error = [&](const at::Tensor& labels) {
    return (outputs - labels.to(outputs.scalar_type())).square();  // [B, 1]
  };
  const at::Tensor errors = squared_error(batch.labels);
  if (!batch.other_labels.defined()) return errors.mean();
  return by_shares(errors, squared_error(batch.other_labels), batch).mean();
}

}  // namespace

at::Tensor loss_of(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options) {
  switch (options.target) {
    case Target::kMultiLabel:
      return multi_label_loss(logits, batch, options);
    case Target::kRegression:
      return regression_loss(logits, batch, options);
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  return single_label_loss(logits, batch, options);
}

at::Tensor losses_of(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options) {
  const int64_t networks = logits.size(1);
  if (options.target == Target::kRegression) {
    if (options.label_smoothing > 0 || !options.class_weights.empty())
      return loss_of(logits.select(1, 0), batch, options);  // for what it throws
    return (logits - batch.labels.to(logits.scalar_type()).unsqueeze(1)).square().mean(at::IntArrayRef({0, 2}));
  }
  const at::Tensor weights = class_weights(logits.select(1, 0), options);
  if (options.target == Target::kMultiLabel) {
    at::Tensor targets = batch.labels.to(logits.scalar_type()).unsqueeze(1);  // [B, 1, K]
    if (options.label_smoothing > 0) targets = targets * (1 - options.label_smoothing) + options.label_smoothing / 2;
    return at::binary_cross_entropy_with_logits(logits, targets.expand_as(logits), /*weight=*/{}, weights,
                                                at::Reduction::None)
        .mean(at::IntArrayRef({0, 2}));
  }
  const at::Tensor labels = batch.labels.unsqueeze(1).expand({-1, networks});  // [B, T]
  at::Tensor losses;                                                           // [B, T]
  if (options.target == Target::kSoftmax) {
    losses = at::cross_entropy_loss(logits.transpose(1, 2), labels, weights, at::Reduction::None, kIgnoreNone,
                                    options.label_smoothing);
  } else {
    at::Tensor targets = labels.to(logits.scalar_type());
    if (options.label_smoothing > 0) targets = targets * (1 - options.label_smoothing) + options.label_smoothing / 2;
    losses = at::binary_cross_entropy_with_logits(logits.squeeze(2), targets, /*weight=*/{}, /*pos_weight=*/{},
                                                  at::Reduction::None);
    if (weights.defined()) losses = losses * weights.index_select(0, batch.labels).unsqueeze(1);
  }
  if (!weights.defined()) return losses.mean(0);
  return losses.sum(0) / weights.index_select(0, batch.labels).sum().clamp_min(kNoWeight);
}

at::Tensor teacher_loss(const at::Tensor& given, const at::Tensor& lessons, const TeacherLoss& options) {
  if (!options.are_logits) return 1 - at::cosine_similarity(given, lessons, 1).mean();
  const at::Tensor expected = at::log_softmax(lessons / options.temperature, 1);
  const at::Tensor found = at::log_softmax(given / options.temperature, 1);
  const at::Tensor rows = (expected.exp() * (expected - found)).sum(1);  // [B]
  return rows.mean() * (options.temperature * options.temperature);
}

int64_t count_right(const at::Tensor& logits, const TrainBatch& batch, Target target) {
  if (target == Target::kRegression) return 0;
  if (target == Target::kMultiLabel) {
    const at::Tensor wanted = batch.other_labels.defined()
                                  ? at::where(batch.shares.ge(0.5).unsqueeze(1), batch.labels, batch.other_labels)
                                  : batch.labels;  // [B, K]
    return logits.ge(0).eq(wanted.gt(0)).all(1).sum().item<int64_t>();
  }
  const at::Tensor predicted = logits.size(1) == 1 ? logits.squeeze(1).gt(0).to(at::kLong) : logits.argmax(1);  // [B]
  const at::Tensor wanted = batch.other_labels.defined()
                                ? at::where(batch.shares.ge(0.5), batch.labels, batch.other_labels)
                                : batch.labels;  // [B]
  return predicted.eq(wanted).sum().item<int64_t>();
}

at::Tensor counts_right(const at::Tensor& logits, const TrainBatch& batch, Target target) {
  if (target == Target::kRegression) return at::zeros({logits.size(1)}, logits.options().dtype(at::kLong));
  if (target == Target::kMultiLabel) return logits.ge(0).eq(batch.labels.gt(0).unsqueeze(1)).all(2).sum(0);
  const at::Tensor predicted =
      logits.size(2) == 1 ? logits.squeeze(2).gt(0).to(at::kLong) : logits.argmax(2);  // [B, T]
  return predicted.eq(batch.labels.unsqueeze(1)).sum(0);
}

}  // namespace engraft::train
