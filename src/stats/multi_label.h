#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace engraft::stats {

/// One class among those that may hold together. Counts are of rows.
struct LabelResult {
  int64_t holds = 0;
  int64_t predicted = 0;
  /// Predicted where it holds.
  int64_t right = 0;
  /// Nothing where it holds nowhere.
  std::optional<double> average_precision;
};

/// How far logits tell which classes hold. Fractions, not percent. A class is predicted from a score of kHoldsFrom on.
struct MultiLabel {
  int64_t rows = 0;
  /// Binary cross-entropy in nats, the mean over rows and classes.
  double loss = 0;
  /// The mean of average_precision over the classes that have one; 0 where none has.
  double mean_average_precision = 0;
  /// 2 · right / (holds + predicted), each summed over the classes; 0 where nothing holds and nothing is predicted.
  double micro_f1 = 0;
  /// Share of rows all of whose classes are predicted as they hold.
  double exact_match = 0;
  std::vector<LabelResult> classes;  // [K]
};

/// The sigmoid of each logit, in double.
std::vector<double> label_scores(const float* logits, int64_t outputs);

/// The classes that are predicted, ascending: those whose score is at least kHoldsFrom, by the sign of the logit.
std::vector<int64_t> predicted_labels(const float* logits, int64_t outputs);

/// Area under the precision-recall curve as a sum of steps, Σ (R_n - R_n-1) · P_n over the distinct scores from the
/// highest down, as scikit-learn's average_precision_score has it. `holds` [N] of 0 and 1. Nothing without a 1.
std::optional<double> average_precision(const std::vector<float>& scores, const std::vector<uint8_t>& holds);

/// `logits` [N, K] and `holds` [N, K] of 0 and 1, row by row. No rows: everything is 0.
MultiLabel judge_labels(const std::vector<float>& logits, int64_t outputs, const std::vector<double>& holds);

}  // namespace engraft::stats
