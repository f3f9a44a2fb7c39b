#include <ATen/ATen.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <stdexcept>

#include "base/errors.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

/// The slots of each optimiser's state: calls visit(name, tensor) and count(name, steps).
template <class Visit, class Count>
void each_slot(torch::optim::SGDParamState& state, const Visit& visit, const Count&) {
  visit("momentum_buffer", state.momentum_buffer());
}
template <class Visit, class Count>
void each_slot(torch::optim::AdamWParamState& state, const Visit& visit, const Count& count) {
  count("step", state.step());
  visit("exp_avg", state.exp_avg());
  visit("exp_avg_sq", state.exp_avg_sq());
}
template <class Visit, class Count>
void each_slot(torch::optim::RMSpropParamState& state, const Visit& visit, const Count& count) {
  count("step", state.step());
  visit("square_avg", state.square_avg());
  visit("momentum_buffer", state.momentum_buffer());
  visit("grad_avg", state.grad_avg());
}

template <class State>
class TorchOptimizer : public Optimizer {
 public:
  /// `scales`: of each group of `inner`.
  TorchOptimizer(std::unique_ptr<torch::optim::Optimizer> inner, std::vector<double> scales,
                 std::vector<tensor::NamedTensor> parameters)
      : inner_(std::move(inner)), scales_(std::move(scales)), parameters_(std::move(parameters)) {}

  void zero_grad() override { inner_->zero_grad(/*set_to_none=*/true); }

  void step(double learning_rate) override {
    std::vector<torch::optim::OptimizerParamGroup>& groups = inner_->param_groups();
    for (size_t i = 0; i < groups.size(); ++i) groups[i].options().set_lr(learning_rate * scales_[i]);
    inner_->step();
  }

  void minimise(double, const FullLoss&) override { throw std::logic_error("not a full-batch optimiser"); }

  std::vector<tensor::NamedTensor> state() const override {
    std::vector<tensor::NamedTensor> out;
    for (const tensor::NamedTensor& parameter : parameters_) {
      const auto found = inner_->state().find(parameter.value.unsafeGetTensorImpl());
      if (found == inner_->state().end()) continue;
      each_slot(
          static_cast<State&>(*found->second),
          [&](const char* slot, const at::Tensor& value) {
            if (value.defined()) out.push_back({parameter.name + "/" + slot, value});
          },
          [&](const char* slot, int64_t steps) {
            out.push_back({parameter.name + "/" + slot, at::scalar_tensor(steps, at::kLong)});
          });
    }
    return out;
  }

  void restore(const std::vector<tensor::NamedTensor>& state) override {
    StateValues values(state);
    inner_->state().clear();
    for (const tensor::NamedTensor& parameter : parameters_) restore_one(parameter, values);
    values.check_all_taken();
  }

 private:
  void restore_one(const tensor::NamedTensor& parameter, StateValues& values) {
    auto slots = std::make_unique<State>();
    bool has_any = false;
    each_slot(
        *slots,
        [&](const char* slot, const at::Tensor&) {
          const at::Tensor value = values.take_for(parameter, slot);
          if (!value.defined()) return;
          has_any = true;
          set_slot(*slots, slot, value);
        },
        [&](const char* slot, int64_t) {
          const at::Tensor value = values.take(parameter.name + "/" + slot);
          if (!value.defined()) return;
          has_any = true;
          set_steps(*slots, value.item<int64_t>());
        });
    if (has_any) inner_->state()[parameter.value.unsafeGetTensorImpl()] = std::move(slots);
  }

  static void set_slot(torch::optim::SGDParamState& slots, const std::string&, const at::Tensor& value) {
    slots.momentum_buffer(value);
  }
  static void set_slot(torch::optim::AdamWParamState& slots, const std::string& slot, const at::Tensor& value) {
    slot == "exp_avg" ? slots.exp_avg(value) : slots.exp_avg_sq(value);
  }
  static void set_slot(torch::optim::RMSpropParamState& slots, const std::string& slot, const at::Tensor& value) {
    slot == "square_avg" ? slots.square_avg(value)
    : slot == "grad_avg" ? slots.grad_avg(value)
                         : slots.momentum_buffer(value);
  }
  static void set_steps(torch::optim::SGDParamState&, int64_t) {}
  template <class Counted>
  static void set_steps(Counted& slots, int64_t steps) {
    slots.step(steps);
  }

  std::unique_ptr<torch::optim::Optimizer> inner_;
  std::vector<double> scales_;
  std::vector<tensor::NamedTensor> parameters_;
};

/// Parameters that share weight decay and rate scale.
struct Group {
  double weight_decay = 0;
  double rate_scale = 1;
  std::vector<at::Tensor> parameters;
};

std::vector<Group> grouped(const std::vector<Moved>& moved) {
  std::vector<Group> groups;
  for (const Moved& one : moved) {
    auto same = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return group.weight_decay == one.weight_decay && group.rate_scale == one.rate_scale;
    });
    if (same == groups.end()) same = groups.insert(same, {one.weight_decay, one.rate_scale, {}});
    same->parameters.push_back(one.parameter.value);
  }
  return groups;
}

template <class Inner, class State, class Options>
std::unique_ptr<Optimizer> make(const Options& options, const std::vector<Moved>& moved) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  std::vector<double> scales;
  for (const Group& group : grouped(moved)) {
    Options of_group = options;
    of_group.weight_decay(group.weight_decay);
    groups.emplace_back(group.parameters, std::make_unique<Options>(of_group));
    scales.push_back(group.rate_scale);
  }
  std::vector<tensor::NamedTensor> parameters;
  for (const Moved& one : moved) parameters.push_back(one.parameter);
  return std::make_unique<TorchOptimizer<State>>(std::make_unique<Inner>(std::move(groups), options), std::move(scales),
                                                 std::move(parameters));
}

constexpr double kAnyRate = 1e-3;  // step() sets the rate before each update

std::unique_ptr<Optimizer> make_sgd(const OptimizerSpec& spec, const std::vector<Moved>& moved) {
  const double momentum = spec.momentum.value_or(0.9);
  if (spec.nesterov && momentum == 0) throw UsageError("nesterov: needs a momentum above 0");
  return make<torch::optim::SGD, torch::optim::SGDParamState>(
      torch::optim::SGDOptions(kAnyRate).momentum(momentum).nesterov(spec.nesterov), moved);
}

}  // namespace

std::unique_ptr<Optimizer> make_torch_optimizer(const OptimizerSpec& spec, const std::vector<Moved>& moved) {
  if (spec.name == "sgd") return make_sgd(spec, moved);
  if (spec.name == "adamw") {
    return make<torch::optim::AdamW, torch::optim::AdamWParamState>(torch::optim::AdamWOptions(kAnyRate), moved);
  }
  if (spec.name == "rmsprop") {
    return make<torch::optim::RMSprop, torch::optim::RMSpropParamState>(
        torch::optim::RMSpropOptions(kAnyRate).momentum(spec.momentum.value_or(0)), moved);
  }
  return nullptr;
}

}  // namespace engraft::train
