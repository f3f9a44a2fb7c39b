#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "train/head_kernels.h"
#include "train/optimizer.h"

// The layers of packed_heads.cpp; for this folder alone.

namespace engraft::train {

/// Rows in the order in which the kernels read them.
struct PackedRows {
  at::Tensor panels;
  HeadRows view;
};

/// How the weights of all heads move at one step.
struct PackedStep {
  std::vector<float> rates;  // [T]
  float correction = 1, root_correction = 1;
};

/// The rule of the update; none for a name without kernel.
std::optional<HeadRule> head_rule(const OptimizerSpec& spec);

/// Of the `update`-th one, from 1.
PackedStep packed_step(const std::vector<double>& rates, int64_t update);

/// One fully connected layer of each of T heads, with what its optimiser keeps.
class PackedLayer {
 public:
  /// `weights` T times [out, in], `biases` T times [out]; `rules` differ in nothing but weight decay.
  PackedLayer(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& biases,
              const std::vector<OptimizerSpec>& rules, const HeadKernels& kernels);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t bytes_of_head() const;

  /// Rows [B, in], filled up.
  PackedRows pack(const at::Tensor& rows) const;
  /// The same of columns [in, padded], of which the first `rows` are rows.
  PackedRows pack_columns(const float* columns, int64_t rows, int64_t padded) const;
  /// Outputs [count · out, padded rows] of `count` heads from `first` on.
  void outputs(const PackedRows& rows, int64_t first, int64_t count, float* out) const;
  /// Moves those heads by the gradients of their outputs.
  void update(const PackedRows& rows, const PackedStep& step, int64_t first, int64_t count, const float* gradients);

  /// Of head `t`, live: [out, in] and [out].
  at::Tensor weight(int64_t t) const { return weights_.select(0, t).narrow(1, 0, in_); }
  at::Tensor bias(int64_t t) const { return weights_.select(0, t).select(1, in_); }
  void keep(const at::Tensor& places);

 private:
  at::Tensor empty_panels(int64_t padded) const;

  const HeadKernels* kernels_;
  HeadRule rule_;
  bool nesterov_;
  float momentum_;
  int64_t in_, out_, panels_;
  at::Tensor decays_;  // [T]
  // [T, out, panels · panel]: weights, then the bias, then zeros, which nothing moves. Slots: undefined where the rule
  // has none.
  at::Tensor weights_, first_, second_;
  std::vector<float> ones_, decayed_;  // [panel]
};

}  // namespace engraft::train
