#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <array>
#include <stdexcept>

#include "base/errors.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

// Note [Few passes over memory]
// A head of tens of millions of weights makes an update as long as memory takes to be read and written. So sgd and
// adamw take LibTorch's fused kernels, which read weights, gradient and slots once, and the others as few passes as its
// operators allow. The fused kernels go by address: gradient and slots are laid out as the weights are.

/// A rule that moves each parameter by its own gradient and what it keeps of it in up to three slots.
class PointwiseOptimizer : public Optimizer {
 public:
  using Slots = std::array<at::Tensor, 3>;

  PointwiseOptimizer(std::vector<const char*> names, std::vector<Moved> moved)
      : names_(std::move(names)), moved_(std::move(moved)), slots_(moved_.size()) {}

  void zero_grad() final {
    for (Moved& one : moved_) one.parameter.value.mutable_grad() = at::Tensor();
  }

  void step(double learning_rate) final {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < moved_.size(); ++i) {
      at::Tensor weights = moved_[i].parameter.value;
      if (!weights.grad().defined()) continue;
      update(weights, laid_out_as(weights, weights.grad()), slots_[i],
             {learning_rate * moved_[i].rate_scale, moved_[i].weight_decay});
    }
  }

  void minimise(double, const FullLoss&) final { throw std::logic_error("not a full-batch optimiser"); }

  std::vector<tensor::NamedTensor> state() const final {
    std::vector<tensor::NamedTensor> out;
    for (size_t i = 0; i < moved_.size(); ++i) {
      for (size_t k = 0; k < names_.size(); ++k) {
        if (slots_[i][k].defined()) out.push_back({moved_[i].parameter.name + "/" + names_[k], slots_[i][k]});
      }
    }
    return out;
  }

  void restore(const std::vector<tensor::NamedTensor>& state) final {
    StateValues values(state);
    for (size_t i = 0; i < moved_.size(); ++i) {
      slots_[i] = {};
      for (size_t k = 0; k < names_.size(); ++k) slots_[i][k] = taken(moved_[i].parameter, names_[k], values);
    }
    values.check_all_taken();
  }

 protected:
  struct Amount {
    double rate;
    double weight_decay;
  };
  virtual void update(at::Tensor& weights, const at::Tensor& gradient, Slots& slots, const Amount& amount) const = 0;

 private:
  static at::Tensor laid_out_as(const at::Tensor& weights, const at::Tensor& value) {
    return value.strides() == weights.strides() ? value : at::empty_like(weights).copy_(value);
  }
  /// Slots are of the parameter's shape, but for counts of steps.
  static at::Tensor taken(const tensor::NamedTensor& parameter, const std::string& name, StateValues& values) {
    if (name == "step") {
      const at::Tensor count = values.take(parameter.name + "/step");
      return count.defined() ? count.to(parameter.value.device(), at::kFloat, false, /*copy=*/true) : count;
    }
    const at::Tensor value = values.take_for(parameter, name);
    return value.defined() ? laid_out_as(parameter.value, value) : value;
  }

  std::vector<const char*> names_;
  std::vector<Moved> moved_;
  std::vector<Slots> slots_;
};

class Sgd : public PointwiseOptimizer {
 public:
  Sgd(double momentum, bool nesterov, const std::vector<Moved>& moved)
      : PointwiseOptimizer({"momentum_buffer"}, moved), momentum_(momentum), nesterov_(nesterov) {
    if (nesterov && momentum == 0) throw UsageError("nesterov: needs a momentum above 0");
  }

 private:
  void update(at::Tensor& weights, const at::Tensor& gradient, Slots& slots, const Amount& amount) const override {
    const bool is_first = !slots[0].defined();
    std::vector<at::Tensor> buffers;
    if (momentum_ > 0) {
      if (is_first) slots[0] = at::empty_like(weights);
      buffers = {slots[0]};
    }
    at::_fused_sgd_({weights}, {gradient}, buffers, amount.weight_decay, momentum_, amount.rate, /*dampening=*/0,
                    nesterov_, /*maximize=*/false, is_first);
  }

  double momentum_;
  bool nesterov_;
};

class Adamw : public PointwiseOptimizer {
 public:
  explicit Adamw(const std::vector<Moved>& moved) : PointwiseOptimizer({"step", "exp_avg", "exp_avg_sq"}, moved) {}

 private:
  void update(at::Tensor& weights, const at::Tensor& gradient, Slots& slots, const Amount& amount) const override {
    if (!slots[0].defined()) {
      slots = {at::zeros({}, weights.options()), at::zeros_like(weights), at::zeros_like(weights)};
    }
    slots[0].add_(1);
    at::_fused_adamw_({weights}, {gradient}, {slots[1]}, {slots[2]}, {}, {slots[0]}, amount.rate, kBeta1, kBeta2,
                      amount.weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  }

  static constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
};

class Rmsprop : public PointwiseOptimizer {
 public:
  Rmsprop(double momentum, const std::vector<Moved>& moved)
      : PointwiseOptimizer({"square_avg", "momentum_buffer"}, moved), momentum_(momentum) {}

 private:
  void update(at::Tensor& weights, const at::Tensor& gradient, Slots& slots, const Amount& amount) const override {
    const at::Tensor pull = amount.weight_decay > 0 ? gradient.add(weights, amount.weight_decay) : gradient;
    if (!slots[0].defined()) slots[0] = at::zeros_like(weights);
    slots[0].mul_(kAlpha).addcmul_(pull, pull, 1 - kAlpha);
    const at::Tensor scale = slots[0].sqrt().add_(kEpsilon);
    if (momentum_ == 0) {
      weights.addcdiv_(pull, scale, -amount.rate);
      return;
    }
    if (!slots[1].defined()) slots[1] = at::zeros_like(weights);
    slots[1].mul_(momentum_).addcdiv_(pull, scale);
    weights.add_(slots[1], -amount.rate);
  }

  static constexpr double kAlpha = 0.99, kEpsilon = 1e-8;
  double momentum_;
};

class KerasRmsprop : public PointwiseOptimizer {
 public:
  KerasRmsprop(double momentum, const std::vector<Moved>& moved)
      : PointwiseOptimizer({"velocity", "momentum"}, moved), momentum_(momentum) {}

 private:
  void update(at::Tensor& weights, const at::Tensor& gradient, Slots& slots, const Amount& amount) const override {
    if (amount.weight_decay > 0) weights.mul_(1 - amount.weight_decay * amount.rate);
    if (!slots[0].defined()) slots[0] = at::zeros_like(weights);
    slots[0].mul_(kRho).addcmul_(gradient, gradient, 1 - kRho);
    const at::Tensor scale = slots[0].add(kEpsilon).sqrt_();
    if (momentum_ == 0) {
      weights.addcdiv_(gradient, scale, -amount.rate);
      return;
    }
    if (!slots[1].defined()) slots[1] = at::zeros_like(weights);
    slots[1].mul_(momentum_).addcdiv_(gradient, scale, amount.rate);
    weights.sub_(slots[1]);
  }

  static constexpr double kRho = 0.9, kEpsilon = 1e-7;
  double momentum_;
};

}  // namespace

std::unique_ptr<Optimizer> make_pointwise_optimizer(const OptimizerSpec& spec, const std::vector<Moved>& moved) {
  if (spec.name == "sgd") return std::make_unique<Sgd>(spec.momentum.value_or(kSgdMomentum), spec.nesterov, moved);
  if (spec.name == "adamw") return std::make_unique<Adamw>(moved);
  if (spec.name == "rmsprop") return std::make_unique<Rmsprop>(spec.momentum.value_or(0), moved);
  if (spec.name == "rmsprop_keras") return std::make_unique<KerasRmsprop>(spec.momentum.value_or(0), moved);
  return nullptr;
}

}  // namespace engraft::train
