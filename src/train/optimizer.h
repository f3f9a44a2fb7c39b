#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tensor/named.h"

namespace engraft::train {

struct OptimizerSpec {
  /// "sgd", "adamw" or "rmsprop", each as torch.optim defines it.
  std::string name = "adamw";
  double momentum = 0.9;
  /// Not applied to biases and to the affine weights of norms, that is to tensors of fewer than two dimensions.
  double weight_decay = 1e-4;
};

/// LibTorch's optimiser over named parameters.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void zero_grad() = 0;
  /// One update at the given rate.
  virtual void step(double learning_rate) = 0;
  /// What it keeps of each parameter between two steps, named PARAMETER/SLOT ("fc1.weight/exp_avg"): live tensors, and
  /// counts of steps as int64 scalars. Nothing for a parameter that was not updated yet.
  virtual std::vector<tensor::NamedTensor> state() const = 0;
  /// Goes on from `state`, as state() gave it. Throws ModelError for a name or slot that it does not know, or a shape
  /// that is not the parameter's.
  virtual void restore(const std::vector<tensor::NamedTensor>& state) = 0;
};

/// Throws UsageError for an unknown name or no parameters.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec,
                                          const std::vector<tensor::NamedTensor>& parameters);

}  // namespace engraft::train
