#include "train/loss.h"

#include <ATen/ATen.h>

#include <limits>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::train {

namespace {

constexpr int64_t kIgnoreNone = -100;  // no label is this

/// [K] like `logits`; undefined where all classes weigh 1.
at::Tensor class_weights(const at::Tensor& logits, const LossOptions& options) {
  if (options.class_weights.empty()) return {};
  const int64_t classes = options.sigmoid ? 2 : logits.size(1);
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
  if (!options.sigmoid) {
    return at::cross_entropy_loss(logits, labels, weights, at::Reduction::None, kIgnoreNone, options.label_smoothing);
  }
  const at::Tensor losses = sigmoid_loss(logits, labels, options.label_smoothing, at::Reduction::None);
  return weights.defined() ? losses * weights.index_select(0, labels) : losses;
}

at::Tensor row_weights(const at::Tensor& labels, const at::Tensor& weights, const at::Tensor& logits) {
  return weights.defined() ? weights.index_select(0, labels) : at::ones(labels.sizes(), logits.options());
}

}  // namespace

at::Tensor loss_of(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options) {
  const at::Tensor weights = class_weights(logits, options);
  const bool is_mixed = batch.other_labels.defined();
  if (!is_mixed && !weights.defined()) {
    if (options.sigmoid) return sigmoid_loss(logits, batch.labels, options.label_smoothing, at::Reduction::Mean);
    return at::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean, kIgnoreNone, options.label_smoothing);
  }
  at::Tensor losses = row_losses(logits, batch.labels, weights, options);
  at::Tensor counts = row_weights(batch.labels, weights, logits);
  if (is_mixed) {
    const at::Tensor share = batch.shares.to(logits.scalar_type()), rest = 1 - share;  // [B]
    losses = share * losses + rest * row_losses(logits, batch.other_labels, weights, options);
    counts = share * counts + rest * row_weights(batch.other_labels, weights, logits);
  }
  constexpr float kNoWeight = std::numeric_limits<float>::min();  // of a batch of weightless rows: its loss is 0
  return losses.sum() / counts.sum().clamp_min(kNoWeight);
}

int64_t count_right(const at::Tensor& logits, const TrainBatch& batch) {
  const at::Tensor predicted = logits.size(1) == 1 ? logits.squeeze(1).gt(0).to(at::kLong) : logits.argmax(1);  // [B]
  const at::Tensor wanted = batch.other_labels.defined()
                                ? at::where(batch.shares.ge(0.5), batch.labels, batch.other_labels)
                                : batch.labels;  // [B]
  return predicted.eq(wanted).sum().item<int64_t>();
}

}  // namespace engraft::train
