#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "base/target.h"
#include "train/trainee.h"

namespace engraft::train {

/// How what a teacher gives is learned.
struct TeacherLoss {
  /// Logits of the same classes; else standardised embeddings.
  bool are_logits = false;
  /// What it is multiplied by before it is added to the loss of the labels.
  double weight = 0;
  /// What both sides' logits are divided by.
  double temperature = 1;
};

struct LossOptions {
  Target target = Target::kSoftmax;
  /// Share of the target that is spread evenly over all classes (Szegedy et al. 2016, section 7). In [0, 1).
  double label_smoothing = 0;
  /// For each class (two with sigmoid), what the loss of its rows is multiplied by; multi-label: what the loss of the
  /// class is multiplied by in rows where it holds. Empty: 1 for all.
  std::vector<double> class_weights = {};
  TeacherLoss teacher = {};
};

/// The loss of a batch, a scalar: softmax as torch.nn.functional.cross_entropy(weight, label_smoothing) defines it;
/// sigmoid as binary_cross_entropy_with_logits with the target t · (1 - s) + s / 2 for smoothing s.
/// With class weights the mean over rows is weighted: Σ w(label) · loss / Σ w(label), for softmax and sigmoid alike; 0
/// where no row has a weight.
/// Multi-label is the mean over rows and classes of binary_cross_entropy_with_logits(pos_weight), smoothed as sigmoid
/// is; regression the mean of (output - label)².
/// A mixed row (see TrainBatch) counts as `share` of a row with its label and 1 - share of one with the other label.
/// `logits` [B, outputs_of(target, K)] float32. Throws UsageError for another number of class weights, and in
/// regression for smoothing or weights.
at::Tensor loss_of(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options);

/// The loss of each of T networks for the same batch, [T]: what loss_of() gives for `logits` [B, T, outputs], network
/// by network, to rounding. For batches that are not mixed. Throws as loss_of().
at::Tensor losses_of(const at::Tensor& logits, const TrainBatch& batch, const LossOptions& options);

/// What is added to that where there is a teacher, without its weight, a scalar: of logits temperature² · the mean over
/// rows of KL(softmax(lessons / temperature) || softmax(given / temperature)) (Hinton et al. 2015); of embeddings the
/// mean over rows of 1 - cosine. `given` and `lessons` [B, width] float32.
at::Tensor teacher_loss(const at::Tensor& given, const at::Tensor& lessons, const TeacherLoss& options);

/// Rows whose highest logit (the sign of a single one) is the label; multi-label: rows all of whose classes hold where
/// the logit is at least 0 and nowhere else; of a mixed row, the label with the larger share. Regression: 0.
int64_t count_right(const at::Tensor& logits, const TrainBatch& batch, Target target);

/// The same of each of T networks, `logits` [B, T, outputs], for batches that are not mixed: int64 [T].
at::Tensor counts_right(const at::Tensor& logits, const TrainBatch& batch, Target target);

}  // namespace engraft::train
