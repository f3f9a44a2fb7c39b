#include "train/optimizer.h"

#include <ATen/ATen.h>

#include "base/errors.h"
#include "base/text.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

StateValues::StateValues(const std::vector<tensor::NamedTensor>& state) {
  for (const tensor::NamedTensor& item : state) values_.emplace(item.name, item.value);
}

at::Tensor StateValues::take(const std::string& name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return {};
  const at::Tensor value = found->second;
  values_.erase(found);
  return value;
}

at::Tensor StateValues::take_for(const tensor::NamedTensor& parameter, const std::string& slot) {
  const at::Tensor value = take(parameter.name + "/" + slot);
  if (!value.defined()) return {};
  if (value.sizes() != parameter.value.sizes()) {
    throw ModelError(text::cat("optimiser: ", parameter.name, "/", slot, " is ", text::shape(value.sizes().vec()),
                               ", expected ", text::shape(parameter.value.sizes().vec())));
  }
  return value.to(parameter.value.device(), /*non_blocking=*/false, /*copy=*/true);
}

void StateValues::check_all_taken() const {
  if (!values_.empty()) throw ModelError("optimiser: nothing here has a state '" + values_.begin()->first + "'");
}

namespace {

std::vector<Moved> moved_parameters(const OptimizerSpec& spec, const std::vector<tensor::NamedTensor>& parameters,
                                    const std::vector<double>& rate_scales,
                                    const std::vector<tensor::OuterGradient*>& outer_gradients) {
  if (parameters.empty()) throw UsageError("nothing to train: no parameter learns");
  if (!rate_scales.empty() && rate_scales.size() != parameters.size()) {
    throw UsageError(text::cat("learning rate scales: expected ", parameters.size(), ", one for each parameter, found ",
                               rate_scales.size()));
  }
  std::vector<Moved> moved;
  for (size_t i = 0; i < parameters.size(); ++i) {
    moved.push_back({parameters[i], parameters[i].value.dim() >= 2 ? spec.weight_decay : 0,
                     rate_scales.empty() ? 1 : rate_scales[i], outer_gradients.empty() ? nullptr : outer_gradients[i]});
  }
  return moved;
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec, const std::vector<tensor::NamedTensor>& parameters,
                                          const std::vector<double>& rate_scales,
                                          const std::vector<tensor::OuterGradient*>& outer_gradients) {
  const std::vector<Moved> moved = moved_parameters(spec, parameters, rate_scales, outer_gradients);
  if (std::unique_ptr<Optimizer> optimizer = make_pointwise_optimizer(spec, moved)) return optimizer;
  if (spec.name == "lbfgs") return make_lbfgs(moved);
  throw UsageError("optimizer: must be one of sgd, adamw, rmsprop, rmsprop_keras, lbfgs, not '" + spec.name + "'");
}

}  // namespace engraft::train
