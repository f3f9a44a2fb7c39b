#include "stats/multi_label.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace engraft::stats {

namespace {

/// -log of the score that the truth has, without forming the score.
double binary_cross_entropy(double logit, bool holds) {
  const double z = holds ? -logit : logit;
  return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
}

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

double mean_of_precisions(const std::vector<LabelResult>& classes) {
  double sum = 0;
  int64_t count = 0;
  for (const LabelResult& label : classes) {
    if (!label.average_precision) continue;
    sum += *label.average_precision;
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

}  // namespace

std::vector<double> label_scores(const float* logits, int64_t outputs) {
  std::vector<double> scores;
  for (int64_t k = 0; k < outputs; ++k) {
    const double z = logits[k];
    scores.push_back(z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z)));
  }
  return scores;
}

std::vector<int64_t> predicted_labels(const float* logits, int64_t outputs) {
  std::vector<int64_t> predicted;
  for (int64_t k = 0; k < outputs; ++k) {
    if (logits[k] >= 0) predicted.push_back(k);  // sigmoid(0) is kHoldsFrom
  }
  return predicted;
}

std::optional<double> average_precision(const std::vector<float>& scores, const std::vector<uint8_t>& holds) {
  const int64_t all = std::accumulate(holds.begin(), holds.end(), int64_t{0});
  if (all == 0) return std::nullopt;
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  double precisions = 0;  // summed over the rows where it holds
  int64_t right = 0, right_before = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    right += holds[order[i]];
    const bool is_tie = i + 1 < order.size() && scores[order[i + 1]] == scores[order[i]];
    if (is_tie) continue;
    precisions += static_cast<double>(right - right_before) * ratio(right, static_cast<int64_t>(i) + 1);
    right_before = right;
  }
  return precisions / static_cast<double>(all);
}

MultiLabel judge_labels(const std::vector<float>& logits, int64_t outputs, const std::vector<double>& holds) {
  MultiLabel out;
  const auto classes = static_cast<size_t>(outputs);
  out.classes.resize(classes);
  if (logits.empty()) return out;
  const size_t rows = logits.size() / classes;
  out.rows = static_cast<int64_t>(rows);
  std::vector<bool> is_exact(rows, true);
  std::vector<float> of_class(rows);
  std::vector<uint8_t> holds_class(rows);
  int64_t right = 0, marked = 0;
  for (size_t k = 0; k < classes; ++k) {
    LabelResult& label = out.classes[k];
    for (size_t row = 0; row < rows; ++row) {
      const float z = logits[row * classes + k];
      const bool does_hold = holds[row * classes + k] > 0, is_predicted = z >= 0;
      of_class[row] = z;
      holds_class[row] = does_hold ? 1 : 0;
      out.loss += binary_cross_entropy(z, does_hold);
      label.holds += does_hold;
      label.predicted += is_predicted;
      label.right += does_hold && is_predicted;
      if (does_hold != is_predicted) is_exact[row] = false;
    }
    label.average_precision = average_precision(of_class, holds_class);
    right += label.right;
    marked += label.holds + label.predicted;
  }
  out.loss /= static_cast<double>(logits.size());
  out.mean_average_precision = mean_of_precisions(out.classes);
  out.micro_f1 = ratio(2 * right, marked);
  out.exact_match = ratio(std::count(is_exact.begin(), is_exact.end(), true), out.rows);
  return out;
}

}  // namespace engraft::stats
