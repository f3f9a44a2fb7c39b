#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/random.h"
#include "train/fit.h"

// Small trainees, sources and a checkpointer that cuts a training off, for the tests of the train floor.

namespace engraft::small {

/// One hidden layer of tanh: the least that can learn XOR. With a dropout of 0.1, and a statistic that is no parameter:
/// the running mean of the inputs it saw in training.
class Perceptron : public train::Trainee {
 public:
  explicit Perceptron(int64_t outputs, double dropout = 0.1) : dropout_(dropout) {
    RandomStream stream(3, {1});
    const auto draw = [&](std::vector<int64_t> sizes) {
      at::Tensor t = at::empty(sizes, at::kFloat);
      for (int64_t i = 0; i < t.numel(); ++i) t.view({-1})[i] = static_cast<float>(stream.normal());
      return t.set_requires_grad(true);
    };
    parameters_ = {{"w1", draw({16, 2})}, {"b1", draw({16})}, {"w2", draw({outputs, 16})}, {"b2", draw({outputs})}};
    statistic_ = at::zeros({2});
  }
  at::Tensor outputs(const at::Tensor& x) override {
    if (training) statistic_.mul_(0.9).add_(x.mean(0), 0.1);
    at::Tensor h = at::tanh(at::linear(x, parameters_[0].value, parameters_[1].value));
    h = at::dropout(h, dropout_, training);
    return at::linear(h, parameters_[2].value, parameters_[3].value);
  }
  void set_training(bool on) override { training = on; }
  std::vector<tensor::NamedTensor> parameters() override { return parameters_; }
  std::vector<double> rate_scales() override { return scales; }
  std::vector<tensor::NamedTensor> state() override {
    std::vector<tensor::NamedTensor> all = parameters_;
    all.push_back({"mean", statistic_});
    return all;
  }
  bool training = false;
  std::vector<double> scales;

 private:
  double dropout_;
  std::vector<tensor::NamedTensor> parameters_;
  at::Tensor statistic_;
};

/// Gives rows of two tensors and remembers which, and of which epoch.
class Rows : public train::BatchSource {
 public:
  Rows(at::Tensor x, at::Tensor y) : x_(std::move(x)), y_(std::move(y)) {}
  int64_t rows() const override { return x_.size(0); }
  void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) override {
    order_ = order;
    batch_ = static_cast<size_t>(batch_size);
    at_ = 0;
    epochs.push_back(epoch);
  }
  bool next(train::TrainBatch& batch) override {
    if (at_ >= order_.size()) return false;
    const size_t end = std::min(order_.size(), at_ + batch_);
    const std::vector<int64_t> taken(order_.begin() + static_cast<std::ptrdiff_t>(at_),
                                     order_.begin() + static_cast<std::ptrdiff_t>(end));
    const at::Tensor rows = at::tensor(taken, at::kLong);
    batch = {x_.index_select(0, rows), y_.index_select(0, rows), {}, {}};
    if (mixes && epochs.back() > 0) mix(batch);
    orders.insert(orders.end(), taken.begin(), taken.end());
    at_ = end;
    return true;
  }
  bool mixes = false;
  std::vector<int64_t> orders, epochs;

 private:
  /// Mixup of each row with the one before it.
  static void mix(train::TrainBatch& batch) {
    batch.other_labels = batch.labels.roll(1);
    batch.shares = at::full({batch.labels.size(0)}, 0.8, at::kFloat);
    batch.inputs = batch.inputs * 0.8 + batch.inputs.roll({1}, {0}) * 0.2;
  }

  at::Tensor x_, y_;
  std::vector<int64_t> order_;
  size_t at_ = 0, batch_ = 1;
};

/// Noisy corners of the XOR square.
inline Rows xor_rows(uint64_t seed, int64_t n = 96) {
  const at::Tensor x = at::empty({n, 2}, at::kFloat), y = at::empty({n}, at::kLong);
  RandomStream stream(seed, {2});
  for (int64_t i = 0; i < n; ++i) {
    const int64_t a = i & 1, b = (i >> 1) & 1;
    x[i][0] = static_cast<float>(2 * a - 1 + 0.2 * stream.normal());
    x[i][1] = static_cast<float>(2 * b - 1 + 0.2 * stream.normal());
    y[i] = a ^ b;
  }
  return {x, y};
}

/// Keeps a copy of everything after one step, and throws: the training is cut off.
struct CutOff : train::Checkpointer {
  int64_t at_step;
  train::FitStart kept;
  explicit CutOff(int64_t step) : at_step(step) {}
  bool is_due() override { return true; }
  void save(const train::Progress& progress, train::Trainee& trainee, const train::Optimizer& optimizer) override {
    if (progress.step < at_step) return;
    kept.progress = progress;
    kept.progress.ema = tensor::snapshot(progress.ema);
    kept.trainee = tensor::snapshot(trainee.state());
    kept.optimizer = tensor::snapshot(optimizer.state());
    throw SystemError("cut off");
  }
};

inline at::Tensor tensor_of(const std::vector<double>& values, std::vector<int64_t> sizes) {
  return at::tensor(values, at::kDouble).to(at::kFloat).view(sizes);
}

/// All elements of all tensors, in order.
inline std::vector<double> flat(const std::vector<tensor::NamedTensor>& tensors) {
  std::vector<double> out;
  for (const tensor::NamedTensor& item : tensors) {
    const at::Tensor values = item.value.detach().to(at::kDouble).contiguous();
    out.insert(out.end(), values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel());
  }
  return out;
}

/// max |a - b|.
inline double furthest(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return 1e300;
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

}  // namespace engraft::small
