#include "train/optimizer.h"

#include <ATen/ATen.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <map>

#include "base/errors.h"
#include "base/text.h"

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
  TorchOptimizer(std::unique_ptr<torch::optim::Optimizer> inner, std::vector<tensor::NamedTensor> parameters)
      : inner_(std::move(inner)), parameters_(std::move(parameters)) {}

  void zero_grad() override { inner_->zero_grad(/*set_to_none=*/true); }

  void step(double learning_rate) override {
    for (torch::optim::OptimizerParamGroup& group : inner_->param_groups()) group.options().set_lr(learning_rate);
    inner_->step();
  }

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
    std::map<std::string, at::Tensor> values;
    for (const tensor::NamedTensor& item : state) values.emplace(item.name, item.value);
    for (const tensor::NamedTensor& parameter : parameters_) {
      const auto take = [&](const char* slot) {
        const auto found = values.find(parameter.name + "/" + slot);
        at::Tensor value;
        if (found == values.end()) return value;
        value = found->second;
        values.erase(found);
        return value;
      };
      auto slots = std::make_unique<State>();
      bool has_any = false;
      each_slot(
          *slots,
          [&](const char* slot, const at::Tensor&) {
            const at::Tensor value = take(slot);
            if (!value.defined()) return;
            check_shape(parameter, slot, value);
            has_any = true;
            set_slot(*slots, slot, value.to(parameter.value.device(), /*non_blocking=*/false, /*copy=*/true));
          },
          [&](const char* slot, int64_t) {
            const at::Tensor value = take(slot);
            if (!value.defined()) return;
            has_any = true;
            set_steps(*slots, value.item<int64_t>());
          });
      if (has_any) inner_->state()[parameter.value.unsafeGetTensorImpl()] = std::move(slots);
    }
    if (!values.empty()) throw ModelError("optimiser: nothing here has a state '" + values.begin()->first + "'");
  }

 private:
  static void check_shape(const tensor::NamedTensor& parameter, const char* slot, const at::Tensor& value) {
    if (value.sizes() == parameter.value.sizes()) return;
    throw ModelError(text::cat("optimiser: ", parameter.name, "/", slot, " is ", text::shape(value.sizes().vec()),
                               ", expected ", text::shape(parameter.value.sizes().vec())));
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
  std::vector<tensor::NamedTensor> parameters_;
};

template <class Inner, class State, class Options>
std::unique_ptr<Optimizer> make(const Options& options, const std::vector<tensor::NamedTensor>& parameters) {
  std::vector<at::Tensor> decayed, plain;
  for (const tensor::NamedTensor& item : parameters) (item.value.dim() >= 2 ? decayed : plain).push_back(item.value);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  if (!decayed.empty()) groups.emplace_back(decayed, std::make_unique<Options>(options));
  Options without = options;
  without.weight_decay(0);
  if (!plain.empty()) groups.emplace_back(plain, std::make_unique<Options>(without));
  return std::make_unique<TorchOptimizer<State>>(std::make_unique<Inner>(std::move(groups), options), parameters);
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec,
                                          const std::vector<tensor::NamedTensor>& parameters) {
  if (parameters.empty()) throw UsageError("nothing to train: no parameter learns");
  constexpr double kAnyRate = 1e-3;  // step() sets the rate before each update
  if (spec.name == "sgd") {
    return make<torch::optim::SGD, torch::optim::SGDParamState>(
        torch::optim::SGDOptions(kAnyRate).momentum(spec.momentum).weight_decay(spec.weight_decay), parameters);
  }
  if (spec.name == "adamw") {
    return make<torch::optim::AdamW, torch::optim::AdamWParamState>(
        torch::optim::AdamWOptions(kAnyRate).weight_decay(spec.weight_decay), parameters);
  }
  if (spec.name == "rmsprop") {
    return make<torch::optim::RMSprop, torch::optim::RMSpropParamState>(
        torch::optim::RMSpropOptions(kAnyRate).weight_decay(spec.weight_decay), parameters);
  }
  throw UsageError("optimizer: must be one of sgd, adamw, rmsprop, not '" + spec.name + "'");
}

}  // namespace engraft::train
