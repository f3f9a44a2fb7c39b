#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <array>
#include <stdexcept>

#include "base/errors.h"
#include "train/factor_update.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

// Note [Few passes over memory]
// A head of tens of millions of weights makes an update as long as memory takes to be read and written. sgd and adamw
// take LibTorch's fused kernels, which pass once and go by address: gradient and slots are laid out as the weights are.
// sgd has a kernel of its own for a gradient that is there as factors, which it multiplies out in registers. The others
// ask for none: multiplied out by blocks, factors save memory but no time.

/// A rule that moves each parameter by its own gradient and what it keeps of it in up to three slots.
class PointwiseOptimizer : public Optimizer {
 public:
  using Slots = std::array<at::Tensor, 3>;

  PointwiseOptimizer(std::vector<const char*> names, std::vector<Moved> moved, bool wants_factors)
      : names_(std::move(names)), moved_(std::move(moved)), slots_(moved_.size()) {
    for (const Moved& one : moved_) {
      if (one.outer != nullptr) one.outer->want(wants_factors);
    }
  }
  ~PointwiseOptimizer() override {
    for (const Moved& one : moved_) {
      if (one.outer != nullptr) one.outer->want(false);
    }
    clear_gradients();
  }
  PointwiseOptimizer(const PointwiseOptimizer&) = delete;
  PointwiseOptimizer& operator=(const PointwiseOptimizer&) = delete;

  void zero_grad() final { clear_gradients(); }

  void step(double learning_rate) final {
    const c10::NoGradGuard no_grad;
    for (size_t i = 0; i < moved_.size(); ++i) {
      const Moved& one = moved_[i];
      const Amount amount{learning_rate * one.rate_scale, one.weight_decay};
      const at::Tensor& weights = one.parameter.value;
      if (one.outer != nullptr && !one.outer->is_empty()) {
        update_by_factors(weights, *one.outer, ready(weights, slots_[i]), amount);
      } else if (weights.grad().defined()) {
        update(weights, laid_out_as(weights, weights.grad()), ready(weights, slots_[i]), amount);
      }
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
  /// Makes the slots, all zeros, where there are none.
  virtual void make(const at::Tensor& weights, Slots& slots) const = 0;
  /// Once an update, before it.
  virtual void count(Slots& /*slots*/) const {}
  virtual void update(at::Tensor weights, const at::Tensor& gradient, const Slots& slots,
                      const Amount& amount) const = 0;
  /// The same by a gradient that is there as factors; of a rule that wants them.
  virtual void update_by_factors(const at::Tensor& /*weights*/, const tensor::OuterGradient& /*gradient*/,
                                 const Slots& /*slots*/, const Amount& /*amount*/) const {
    throw std::logic_error("this rule takes no factors");
  }

 private:
  void clear_gradients() {
    for (Moved& one : moved_) {
      one.parameter.value.mutable_grad() = at::Tensor();
      if (one.outer != nullptr) one.outer->clear();
    }
  }
  const Slots& ready(const at::Tensor& weights, Slots& slots) const {
    if (!names_.empty() && !slots[0].defined()) make(weights, slots);
    count(slots);
    return slots;
  }
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
      : PointwiseOptimizer(slots_of(momentum), moved, /*wants_factors=*/has_factor_update()),
        momentum_(momentum),
        nesterov_(nesterov) {
    if (nesterov && momentum == 0) throw UsageError("nesterov: needs a momentum above 0");
  }

 private:
  static std::vector<const char*> slots_of(double momentum) {
    return momentum > 0 ? std::vector<const char*>{"momentum_buffer"} : std::vector<const char*>{};
  }
  void make(const at::Tensor& weights, Slots& slots) const override { slots[0] = at::zeros_like(weights); }
  void update(at::Tensor weights, const at::Tensor& gradient, const Slots& slots, const Amount& amount) const override {
    std::vector<at::Tensor> buffers;
    if (momentum_ > 0) buffers = {slots[0]};
    at::_fused_sgd_({weights}, {gradient}, buffers, amount.weight_decay, momentum_, amount.rate, /*dampening=*/0,
                    nesterov_, /*maximize=*/false, /*is_first_step=*/false);
  }
  void update_by_factors(const at::Tensor& weights, const tensor::OuterGradient& gradient, const Slots& slots,
                         const Amount& amount) const override {
    sgd_by_factors(weights, slots[0], gradient, {amount.rate, momentum_, amount.weight_decay, nesterov_});
  }

  double momentum_;
  bool nesterov_;
};

class Adamw : public PointwiseOptimizer {
 public:
  explicit Adamw(const std::vector<Moved>& moved)
      : PointwiseOptimizer({"step", "exp_avg", "exp_avg_sq"}, moved, /*wants_factors=*/false) {}

 private:
  void make(const at::Tensor& weights, Slots& slots) const override {
    slots = {at::zeros({}, weights.options()), at::zeros_like(weights), at::zeros_like(weights)};
  }
  void count(Slots& slots) const override { slots[0].add_(1); }
  void update(at::Tensor weights, const at::Tensor& gradient, const Slots& slots, const Amount& amount) const override {
    at::_fused_adamw_({weights}, {gradient}, {slots[1]}, {slots[2]}, {}, {slots[0]}, amount.rate, kAdamBeta1,
                      kAdamBeta2, amount.weight_decay, kAdamEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
};

/// Of the two rmsprop: the mean of squares, and the momentum where there is one.
class RmspropSlots : public PointwiseOptimizer {
 public:
  RmspropSlots(std::vector<const char*> names, double momentum, const std::vector<Moved>& moved)
      : PointwiseOptimizer(std::move(names), moved, /*wants_factors=*/false), momentum_(momentum) {}

 protected:
  void make(const at::Tensor& weights, Slots& slots) const override {
    slots[0] = at::zeros_like(weights);
    if (momentum_ != 0) slots[1] = at::zeros_like(weights);
  }

  double momentum_;
};

class Rmsprop : public RmspropSlots {
 public:
  Rmsprop(double momentum, const std::vector<Moved>& moved)
      : RmspropSlots({"square_avg", "momentum_buffer"}, momentum, moved) {}

 private:
  void update(at::Tensor weights, const at::Tensor& gradient, const Slots& slots, const Amount& amount) const override {
    const at::Tensor pull = amount.weight_decay > 0 ? gradient.add(weights, amount.weight_decay) : gradient;
    slots[0].mul_(kRmspropAlpha).addcmul_(pull, pull, 1 - kRmspropAlpha);
    const at::Tensor scale = slots[0].sqrt().add_(kRmspropEpsilon);
    if (momentum_ == 0) {
      weights.addcdiv_(pull, scale, -amount.rate);
      return;
    }
    slots[1].mul_(momentum_).addcdiv_(pull, scale);
    weights.add_(slots[1], -amount.rate);
  }
};

class KerasRmsprop : public RmspropSlots {
 public:
  KerasRmsprop(double momentum, const std::vector<Moved>& moved)
      : RmspropSlots({"velocity", "momentum"}, momentum, moved) {}

 private:
  void update(at::Tensor weights, const at::Tensor& gradient, const Slots& slots, const Amount& amount) const override {
    if (amount.weight_decay > 0) weights.mul_(1 - amount.weight_decay * amount.rate);
    slots[0].mul_(kKerasRho).addcmul_(gradient, gradient, 1 - kKerasRho);
    const at::Tensor scale = slots[0].add(kKerasEpsilon).sqrt_();
    if (momentum_ == 0) {
      weights.addcdiv_(gradient, scale, -amount.rate);
      return;
    }
    slots[1].mul_(momentum_).addcdiv_(gradient, scale, amount.rate);
    weights.sub_(slots[1]);
  }
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
