#include "stats/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace engraft::stats {

std::vector<double> scores_of(const float* logits, int64_t outputs) {
  if (outputs == 1) {
    const double z = logits[0];
    const double second = z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
    const double first = z >= 0 ? std::exp(-z) / (1 + std::exp(-z)) : 1 / (1 + std::exp(z));
    return {first, second};
  }
  const double largest = *std::max_element(logits, logits + outputs);
  std::vector<double> scores(static_cast<size_t>(outputs));
  double sum = 0;
  for (int64_t k = 0; k < outputs; ++k) {
    scores[static_cast<size_t>(k)] = std::exp(logits[k] - largest);
    sum += scores[static_cast<size_t>(k)];
  }
  for (double& score : scores) score /= sum;
  return scores;
}

std::vector<int64_t> ranked(const std::vector<double>& scores, int64_t most) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  if (most < static_cast<int64_t>(order.size())) order.resize(static_cast<size_t>(most));
  return order;
}

namespace {

/// -log softmax(logits)[label] without forming the scores, so that it does not overflow to infinity.
double negative_log_likelihood(const float* logits, int64_t outputs, int64_t label) {
  if (outputs == 1) {
    const double z = label == 1 ? -static_cast<double>(logits[0]) : static_cast<double>(logits[0]);
    return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
  }
  const double largest = *std::max_element(logits, logits + outputs);
  double sum = 0;
  for (int64_t k = 0; k < outputs; ++k) sum += std::exp(logits[k] - largest);
  return largest + std::log(sum) - logits[label];
}

}  // namespace

Classification classify(const std::vector<float>& logits, int64_t outputs, const std::vector<int64_t>& labels) {
  Classification out;
  const int64_t classes = std::max<int64_t>(outputs, 2);
  out.rows = static_cast<int64_t>(labels.size());
  out.confusion.assign(static_cast<size_t>(classes), std::vector<int64_t>(static_cast<size_t>(classes), 0));
  if (classes >= 5) out.top5 = 0;
  if (out.rows == 0) return out;
  int64_t right = 0, among_five = 0;
  for (int64_t row = 0; row < out.rows; ++row) {
    const float* z = logits.data() + row * outputs;
    const int64_t label = labels[static_cast<size_t>(row)];
    const std::vector<int64_t> order = ranked(scores_of(z, outputs), 5);
    right += order[0] == label;
    among_five += std::find(order.begin(), order.end(), label) != order.end();
    ++out.confusion[static_cast<size_t>(label)][static_cast<size_t>(order[0])];
    out.loss += negative_log_likelihood(z, outputs, label);
  }
  const double rows = static_cast<double>(out.rows);
  out.top1 = static_cast<double>(right) / rows;
  if (out.top5) out.top5 = static_cast<double>(among_five) / rows;
  out.loss /= rows;
  return out;
}

}  // namespace engraft::stats
