#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/freeze.h"

namespace engraft::model {

/// Measures the running statistics of the learning blocks' batch norms on pictures, as NormPolicy::kRecalibrate wants:
///   NormRecalibration recalibration(backbone, plan);
///   for each batch: recalibration.before_batch(); (forward, without gradients); recalibration.after_batch(rows);
///   recalibration.finish();
/// finish() leaves in running_mean and running_var the averages of the batches' means and unbiased variances, each
/// weighted by its rows, and in num_batches_tracked the number of batches. In between, those norms normalise by their
/// batch and all else is in eval mode, dropout off (the PreciseBN of Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
/// 2021). Every row of a batch counts, so a batch must not be padded.
///
/// A norm's momentum may be an attribute, a constant in its code, or None. Its statistics are read through its own
/// update from 0, divided by that momentum: to about 1e-7 of their value in float32, plus what the batch's own
/// rounding costs. A norm that is called more than once in a batch gets an average of the calls as its momentum weighs
/// them. Norms without `training`, that keep no running average, or that no batch reached
/// stay as they are.
class NormRecalibration {
 public:
  /// Throws ModelError for a norm whose module does more than normalise what it is given.
  NormRecalibration(torch::jit::Module& backbone, const FreezePlan& plan);
  /// Unfinished, it puts the statistics and eval mode back.
  ~NormRecalibration();
  NormRecalibration(const NormRecalibration&) = delete;
  NormRecalibration& operator=(const NormRecalibration&) = delete;

  /// Norms that will be measured.
  int64_t norms() const { return static_cast<int64_t>(norms_.size()); }

  /// Sets modes, which set_modes() undoes: nothing may call it before the batch has run.
  void before_batch();
  /// `rows` > 0.
  void after_batch(int64_t rows);
  /// Throws ModelError, statistics put back, for a norm whose input was not finite.
  void finish();

 private:
  struct Norm {
    std::string path;
    torch::jit::Module module;
    at::Tensor mean, variance;          // live, [C]
    at::Tensor batches;                 // live, []; undefined where the norm counts none
    at::Tensor old_mean, old_variance;  // values to put back
    int64_t old_batches = 0;
    double momentum = 0;                // share of one batch in the running statistics
    at::Tensor mean_sum, variance_sum;  // float64, row-weighted
    int64_t rows_seen = 0, batches_seen = 0;
  };
  static Norm norm_at(const std::string& path, const torch::jit::Module& module);
  static void clear(Norm& norm);
  static void put_back(Norm& norm);
  static double measured_momentum(Norm& norm);

  torch::jit::Module backbone_;
  FreezePlan plan_;
  std::vector<Norm> norms_;
  bool is_finished_ = false;
};

}  // namespace engraft::model
