#include "train/optimizer.h"

#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include "base/errors.h"

namespace engraft::train {

namespace {

class TorchOptimizer : public Optimizer {
 public:
  explicit TorchOptimizer(std::unique_ptr<torch::optim::Optimizer> inner) : inner_(std::move(inner)) {}

  void zero_grad() override { inner_->zero_grad(/*set_to_none=*/true); }

  void step(double learning_rate) override {
    for (torch::optim::OptimizerParamGroup& group : inner_->param_groups()) group.options().set_lr(learning_rate);
    inner_->step();
  }

 private:
  std::unique_ptr<torch::optim::Optimizer> inner_;
};

template <class Inner, class Options>
std::unique_ptr<Optimizer> make(const Options& options, const std::vector<at::Tensor>& decayed,
                                const std::vector<at::Tensor>& plain) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  if (!decayed.empty()) groups.emplace_back(decayed, std::make_unique<Options>(options));
  Options without = options;
  without.weight_decay(0);
  if (!plain.empty()) groups.emplace_back(plain, std::make_unique<Options>(without));
  return std::make_unique<TorchOptimizer>(std::make_unique<Inner>(std::move(groups), options));
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec,
                                          const std::vector<tensor::NamedTensor>& parameters) {
  if (parameters.empty()) throw UsageError("nothing to train: no parameter learns");
  std::vector<at::Tensor> decayed, plain;
  for (const tensor::NamedTensor& item : parameters) (item.value.dim() >= 2 ? decayed : plain).push_back(item.value);
  constexpr double kAnyRate = 1e-3;  // step() sets the rate before each update
  if (spec.name == "sgd") {
    return make<torch::optim::SGD>(
        torch::optim::SGDOptions(kAnyRate).momentum(spec.momentum).weight_decay(spec.weight_decay), decayed, plain);
  }
  if (spec.name == "adamw") {
    return make<torch::optim::AdamW>(torch::optim::AdamWOptions(kAnyRate).weight_decay(spec.weight_decay), decayed,
                                     plain);
  }
  if (spec.name == "rmsprop") {
    return make<torch::optim::RMSprop>(torch::optim::RMSpropOptions(kAnyRate).weight_decay(spec.weight_decay), decayed,
                                       plain);
  }
  throw UsageError("optimizer: must be one of sgd, adamw, rmsprop, not '" + spec.name + "'");
}

}  // namespace engraft::train
