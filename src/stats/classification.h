#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace engraft::stats {

/// How far logits get the labels right. Fractions, not percent.
struct Classification {
  int64_t rows = 0;
  /// Share whose highest-scored class is the label (ties: the lower index wins).
  double top1 = 0;
  /// Share whose label is among the five highest; only with five classes or more.
  std::optional<double> top5;
  /// Mean negative log-likelihood in nats (cross-entropy; binary cross-entropy for a single logit).
  double loss = 0;
  /// [K][K]: confusion[label][predicted].
  std::vector<std::vector<int64_t>> confusion;
};

/// Logits of one picture to scores: softmax, or for a single logit z the two scores {1 - sigmoid(z), sigmoid(z)}.
/// In double, shifted by the largest.
std::vector<double> scores_of(const float* logits, int64_t outputs);

/// Class indices by descending score, ties by index; at most `most`.
std::vector<int64_t> ranked(const std::vector<double>& scores, int64_t most);

/// `logits` [N, outputs] row by row, `labels` [N] in 0 … K-1 with K = max(outputs, 2). No rows: everything is 0.
Classification classify(const std::vector<float>& logits, int64_t outputs, const std::vector<int64_t>& labels);

}  // namespace engraft::stats
