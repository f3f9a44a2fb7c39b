#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <stdexcept>

#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

constexpr double kRho = 0.9;
constexpr double kEpsilon = 1e-7;

class KerasRmsprop : public Optimizer {
 public:
  KerasRmsprop(double momentum, std::vector<Moved> moved)
      : momentum_(momentum), moved_(std::move(moved)), slots_(moved_.size()) {}

  void zero_grad() override {
    for (Moved& one : moved_) one.parameter.value.mutable_grad() = at::Tensor();
  }

  void step(double learning_rate) override {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < moved_.size(); ++i) {
      if (moved_[i].parameter.value.grad().defined()) update(moved_[i], slots_[i], learning_rate);
    }
  }

  void minimise(double, const FullLoss&) override { throw std::logic_error("not a full-batch optimiser"); }

  std::vector<tensor::NamedTensor> state() const override {
    std::vector<tensor::NamedTensor> out;
    for (size_t i = 0; i < moved_.size(); ++i) {
      const std::string& name = moved_[i].parameter.name;
      if (slots_[i].velocity.defined()) out.push_back({name + "/velocity", slots_[i].velocity});
      if (slots_[i].momentum.defined()) out.push_back({name + "/momentum", slots_[i].momentum});
    }
    return out;
  }

  void restore(const std::vector<tensor::NamedTensor>& state) override {
    StateValues values(state);
    for (size_t i = 0; i < moved_.size(); ++i) {
      slots_[i] = {values.take_for(moved_[i].parameter, "velocity"), values.take_for(moved_[i].parameter, "momentum")};
    }
    values.check_all_taken();
  }

 private:
  struct Slots {
    at::Tensor velocity, momentum;
  };

  void update(const Moved& moved, Slots& slots, double learning_rate) const {
    at::Tensor weights = moved.parameter.value;
    const at::Tensor gradient = weights.grad();
    const double rate = learning_rate * moved.rate_scale;
    if (moved.weight_decay > 0) weights.sub_(weights * moved.weight_decay * rate);
    if (!slots.velocity.defined()) slots.velocity = at::zeros_like(weights);
    slots.velocity.mul_(kRho).add_(gradient.square() * (1 - kRho));
    at::Tensor move = gradient * rate / (slots.velocity + kEpsilon).sqrt();
    if (momentum_ > 0) {
      if (!slots.momentum.defined()) slots.momentum = at::zeros_like(weights);
      move = slots.momentum.mul_(momentum_).add_(move);
    }
    weights.sub_(move);
  }

  double momentum_;
  std::vector<Moved> moved_;
  std::vector<Slots> slots_;
};

}  // namespace

std::unique_ptr<Optimizer> make_keras_rmsprop(double momentum, const std::vector<Moved>& moved) {
  return std::make_unique<KerasRmsprop>(momentum, moved);
}

}  // namespace engraft::train
