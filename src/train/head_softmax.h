#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// The loss of packed_heads.cpp; for this folder alone.

namespace engraft::train {

/// The classes of a batch and what its rows weigh.
struct WeighedLabels {
  /// `labels` [B] int64, which are to live as long; `class_weights` as LossOptions has them. Throws
  /// std::invalid_argument for a label that is not below `classes`.
  WeighedLabels(const at::Tensor& labels, int64_t classes, const std::vector<double>& class_weights);
  double weight(int64_t row) const { return weight_of(values[row]); }
  double weight_of(int64_t label) const { return weights.empty() ? 1 : weights[static_cast<size_t>(label)]; }

  const int64_t* values;
  int64_t rows;
  std::vector<double> weights;  // [K]; empty: 1 for all
  double total = 0;             // of the rows' weights
};

/// What one head gave for a batch.
struct SoftmaxOutcome {
  double loss = 0;  // times rows
  int64_t right = 0;
};

/// Makes of one head's logits [K, padded] the gradient of its loss, which losses_of() defines for softmax; zeros in the
/// columns that only fill up. `scratch` [2, padded].
SoftmaxOutcome softmax_gradient(float* logits, int64_t classes, int64_t padded, const WeighedLabels& labels,
                                double smoothing, float* scratch);

}  // namespace engraft::train
