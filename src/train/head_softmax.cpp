#include "train/head_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/text.h"

namespace engraft::train {

WeighedLabels::WeighedLabels(const at::Tensor& labels, int64_t classes, const std::vector<double>& class_weights)
    : values(labels.const_data_ptr<int64_t>()), rows(labels.size(0)), weights(class_weights) {
  for (int64_t b = 0; b < rows; ++b) {
    if (values[b] < 0 || values[b] >= classes)
      throw std::invalid_argument(text::cat("heads: expected labels below ", classes, ", found ", values[b]));
    total += weight(b);
  }
  total = std::max<double>(total, std::numeric_limits<float>::min());  // of rows without weight: their loss is 0
}

SoftmaxOutcome softmax_gradient(float* logits, int64_t classes, int64_t padded, const WeighedLabels& labels,
                                double smoothing, float* scratch) {
  const int64_t rows = labels.rows;
  const double each = smoothing / static_cast<double>(classes), rest = 1 - smoothing;
  double of_all = 0;  // the weights of all classes
  for (int64_t c = 0; c < classes; ++c) of_all += labels.weight_of(c);

  float *highest = scratch, *sums = scratch + padded;
  std::copy_n(logits, padded, highest);
  for (int64_t c = 1; c < classes; ++c) {
    const float* z = logits + c * padded;
    for (int64_t b = 0; b < padded; ++b) highest[b] = highest[b] < z[b] ? z[b] : highest[b];
  }
  SoftmaxOutcome out;
  double loss = 0;
  for (int64_t b = 0; b < rows; ++b) {
    int64_t told = 0;  // the first of the highest
    while (told + 1 < classes && logits[told * padded + b] != highest[b]) ++told;
    out.right += told == labels.values[b];
    loss += rest * labels.weight(b) * (highest[b] - logits[labels.values[b] * padded + b]);
  }
  for (int64_t c = 0; c < classes && smoothing > 0; ++c) {
    const double weight = each * labels.weight_of(c);
    for (int64_t b = 0; b < rows; ++b) loss += weight * (highest[b] - logits[c * padded + b]);
  }
  std::fill_n(sums, padded, 0.0F);
  for (int64_t c = 0; c < classes; ++c) {
    float* z = logits + c * padded;
    for (int64_t b = 0; b < rows; ++b) {
      z[b] = std::exp(z[b] - highest[b]);
      sums[b] += z[b];
    }
  }
  // Of row b, over the weights of all rows: (1 - s) · w(label) · (p - [c = label]) + s / K · (p · Σ w - w(c)).
  for (int64_t b = 0; b < rows; ++b) {
    const double share = rest * labels.weight(b) + each * of_all;
    loss += share * std::log(sums[b]);
    highest[b] = static_cast<float>(share / labels.total / sums[b]);
  }
  for (int64_t c = 0; c < classes; ++c) {
    const auto less = static_cast<float>(each * labels.weight_of(c) / labels.total);
    float* z = logits + c * padded;
    for (int64_t b = 0; b < rows; ++b) z[b] = z[b] * highest[b] - less;
    std::fill(z + rows, z + padded, 0.0F);
  }
  for (int64_t b = 0; b < rows; ++b)
    logits[labels.values[b] * padded + b] -= static_cast<float>(rest * labels.weight(b) / labels.total);
  out.loss = loss / labels.total * static_cast<double>(rows);
  return out;
}

}  // namespace engraft::train
