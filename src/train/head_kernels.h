#pragma once

#include <cstdint>
#include <vector>

// What packed_layer.cpp asks of the kernels, and the kernels; for this folder alone.

namespace engraft::train {

/// Rules of the update with one or two slots an element, as optimizer.h defines them.
enum class HeadRule { kSgd, kMomentum, kAdamw, kRmsprop, kKerasRmsprop };

/// A batch: panels [panels, rows, panel] of its columns, rows and columns filled up with zeros.
struct HeadRows {
  const float* panels = nullptr;
  int64_t rows = 0;
};

/// One update of `outputs` rows of weights by the gradient gᵀ · x, which is multiplied out in registers, so that it
/// never passes through memory.
struct HeadUpdate {
  float* weights = nullptr;  // [outputs, panels · panel]
  float* first = nullptr;    // slots of that shape; nullptr: the rule has none
  float* second = nullptr;
  const float* gradients = nullptr;  // g, [outputs, rows]
  const float* rates = nullptr;      // [outputs]
  const float* decays = nullptr;     // [outputs], but not for the bias
  const float* ones = nullptr;       // [panel], 1 for each
  const float* decayed = nullptr;    // [panel], of the last panel: 1 for what decays, 0 for the bias
  int64_t outputs = 0;
  HeadRule rule = HeadRule::kSgd;
  bool nesterov = false;
  float momentum = 0;
  float correction = 1;       // of adamw: 1 / (1 - beta1^t)
  float root_correction = 1;  // and 1 / √(1 - beta2^t)
};

/// For one instruction set. Each number is the same sum in the same order whatever stands beside it.
struct HeadKernels {
  /// Columns that pass through registers together, and what numbers of rows are whole multiples of.
  int64_t panel;
  int64_t rows;
  /// Rows `outputs` of `weights` [outputs, panels · panel] times those of a batch: [outputs, rows].
  void (*logits)(const HeadRows& x, int64_t panels, const float* weights, int64_t outputs, float* logits);
  void (*update)(const HeadRows& x, int64_t panels, const HeadUpdate& update);
};

/// Those that this CPU can run, the quickest first: for AVX-512 and for AVX2 with FMA.
const std::vector<const HeadKernels*>& head_kernels();

}  // namespace engraft::train
