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
};

/// Throws UsageError for an unknown name or no parameters.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec,
                                          const std::vector<tensor::NamedTensor>& parameters);

}  // namespace engraft::train
