#include "train/updates.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "base/stop.h"

namespace engraft::train {

namespace {

/// The tensors of a trainee's state that are no parameters: statistics, which a forward pass may move.
std::vector<tensor::NamedTensor> statistics_of(Trainee& trainee) {
  std::set<std::string> parameters;
  for (const tensor::NamedTensor& item : trainee.parameters()) parameters.insert(item.name);
  std::vector<tensor::NamedTensor> rest;
  for (const tensor::NamedTensor& item : trainee.state()) {
    if (parameters.count(item.name) == 0) rest.push_back(item);
  }
  return rest;
}

double share_of(const TrainBatch& batch, int64_t rows) {
  return static_cast<double>(batch.labels.size(0)) / static_cast<double>(rows);
}

}  // namespace

std::unique_ptr<Optimizer> optimizer_for(Trainee& trainee, const FitOptions& options) {
  std::vector<tensor::OuterGradient*> outer;
  if (options.accumulate == 1) outer = trainee.outer_gradients();
  return make_optimizer(options.optimizer, trainee.parameters(), trainee.rate_scales(), outer);
}

Updates::Updates(Trainee& trainee, BatchSource& train, const FitOptions& options)
    : trainee_(trainee),
      train_(train),
      options_(options),
      loss_{options.target, options.label_smoothing, options.class_weights, options.teacher},
      optimizer_(optimizer_for(trainee, options)) {}

void Updates::start(std::vector<int64_t> order, const Where& at) {
  order_ = std::move(order);
  done_ = 0;
  at_ = at;
  train_.start(order_, at_.epoch, options_.batch_size);
}

BatchSums Updates::next(double rate, const std::function<void(const BatchSums&)>& on_batch) {
  const bool is_full_batch = optimizer_->is_full_batch();
  std::vector<tensor::NamedTensor> moved, moved_optimizer;  // what a part of an update may have moved
  if (is_full_batch) {
    moved = trainee_.state();
    moved_optimizer = tensor::snapshot(optimizer_->state());
  } else if (options_.accumulate > 1) {
    moved = statistics_of(trainee_);
  }
  const std::vector<tensor::NamedTensor> before = tensor::snapshot(moved);
  try {
    const BatchSums sums = update(rate, on_batch);
    done_ += static_cast<size_t>(sums.rows);
    at_.step += sums.batches;
    return sums;
  } catch (const Stopped&) {
    tensor::restore(before, moved);
    if (is_full_batch) optimizer_->restore(moved_optimizer);
    throw;
  }
}

BatchSums Updates::update(double rate, const std::function<void(const BatchSums&)>& on_batch) {
  if (!optimizer_->is_full_batch()) return descend(rate, on_batch);
  const BatchSums sums = minimise(rate);
  on_batch(sums);
  return sums;
}

/// By the gradient of the next `accumulate` batches, or what is left of them.
BatchSums Updates::descend(double rate, const std::function<void(const BatchSums&)>& on_batch) {
  const auto left = static_cast<int64_t>(order_.size() - done_);
  const bool takes_all = options_.accumulate > left / options_.batch_size;  // the product could overflow
  const int64_t rows = takes_all ? left : options_.batch_size * options_.accumulate;
  optimizer_->zero_grad();
  BatchSums sums;
  while (sums.rows < rows) {
    TrainBatch batch;
    if (!train_.next(batch)) throw std::logic_error("a source ended before its rows did");
    const BatchOutcome outcome = gradient_of(batch, sums.batches, rows);
    check_finite("the loss", outcome.loss, at(sums.batches));
    sums.add(outcome);
    if (sums.rows < rows) on_batch(sums);
  }
  if (options_.clip_norm > 0) {
    check_finite("the gradient's length", clip_gradient(trainee_, options_.clip_norm), at(sums.batches - 1));
  }
  optimizer_->step(rate);
  on_batch(sums);
  return sums;
}

/// By the loss over all rows of the epoch.
BatchSums Updates::minimise(double rate) {
  std::optional<BatchSums> first;
  optimizer_->minimise(rate, [&] {
    if (first) train_.start(order_, at_.epoch, options_.batch_size);
    const BatchSums sums = full_gradient(/*is_first=*/!first);
    if (!first) first = sums;
    return sums.loss / static_cast<double>(sums.rows);
  });
  check_finite(trainee_.state(), at(first->batches - 1));
  return *first;
}

/// A line search may try points where the loss is not finite and turns back from them; where it begins it must be.
BatchSums Updates::full_gradient(bool is_first) {
  BatchSums sums;
  TrainBatch batch;
  while (train_.next(batch)) {
    throw_if_stopped("training");
    const BatchOutcome outcome = gradient_of(batch, sums.batches, static_cast<int64_t>(order_.size()));
    if (is_first) check_finite("the loss", outcome.loss, at(sums.batches));
    sums.add(outcome);
  }
  return sums;
}

/// Adds the gradient of the update's batch number `index`, as part of `rows` rows.
BatchOutcome Updates::gradient_of(const TrainBatch& batch, int64_t index, int64_t rows) {
  constexpr int64_t kFirstStep = 1;
  seed_step({options_.seed, at_.stage, at(index).step - kFirstStep});
  return add_gradient(trainee_, batch, loss_, share_of(batch, rows));
}

}  // namespace engraft::train
