#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "train/fit.h"
#include "train/gradients.h"

namespace engraft::train {

/// The optimiser of `options` over the parameters of `trainee`; gradients come as factors where the trainee has a place
/// for them and an update takes one batch. Throws what make_optimizer does.
std::unique_ptr<Optimizer> optimizer_for(Trainee& trainee, const FitOptions& options);

/// The updates of a stage, one after another.
class Updates {
 public:
  /// `trainee`, `train` and `options` are to outlive it. Throws what make_optimizer does.
  Updates(Trainee& trainee, BatchSource& train, const FitOptions& options);

  Optimizer& optimizer() { return *optimizer_; }

  /// Begins a pass over `order`, what is left of an epoch; `at` is where its first batch stands.
  void start(std::vector<int64_t> order, const Where& at);
  /// Whether the pass has rows left.
  bool has_next() const { return done_ < order_.size(); }
  /// One update at `rate` by the next batches, or with lbfgs by all; `on_batch` hears what its batches gave so far.
  /// Throws ModelError where something is not finite, and Stopped: then everything is as it was before the update, but
  /// for the pass, which is over.
  BatchSums next(double rate, const std::function<void(const BatchSums&)>& on_batch);

 private:
  BatchSums update(double rate, const std::function<void(const BatchSums&)>& on_batch);
  BatchSums descend(double rate, const std::function<void(const BatchSums&)>& on_batch);
  BatchSums minimise(double rate);
  BatchSums full_gradient(bool is_first);
  BatchOutcome gradient_of(const TrainBatch& batch, int64_t index, int64_t rows);
  Where at(int64_t index) const { return {at_.stage, at_.epoch, at_.step + index}; }

  Trainee& trainee_;
  BatchSource& train_;
  const FitOptions& options_;
  const LossOptions loss_;
  const std::unique_ptr<Optimizer> optimizer_;
  std::vector<int64_t> order_;
  size_t done_ = 0;
  Where at_;
};

}  // namespace engraft::train
