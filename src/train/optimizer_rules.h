#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "train/optimizer.h"

// The rules that make_optimizer chooses from, and what they share; for this folder alone.

namespace engraft::train {

/// Decay rates of what is kept and what is added to denominators: torch.optim's and Keras 3's defaults.
inline constexpr double kAdamBeta1 = 0.9, kAdamBeta2 = 0.999, kAdamEpsilon = 1e-8;
inline constexpr double kRmspropAlpha = 0.99, kRmspropEpsilon = 1e-8;
inline constexpr double kKerasRho = 0.9, kKerasEpsilon = 1e-7;

/// A parameter and how it is moved.
struct Moved {
  tensor::NamedTensor parameter;
  /// 0 for tensors of fewer than two dimensions.
  double weight_decay = 0;
  double rate_scale = 1;
  /// Where its gradient may be instead of in grad(); nullptr: nowhere.
  tensor::OuterGradient* outer = nullptr;
};

/// State tensors by name, each taken once.
class StateValues {
 public:
  explicit StateValues(const std::vector<tensor::NamedTensor>& state);
  /// Undefined where there is none.
  at::Tensor take(const std::string& name);
  /// A copy on the parameter's device, or undefined. Throws ModelError where the shape is not the parameter's.
  at::Tensor take_for(const tensor::NamedTensor& parameter, const std::string& slot);
  /// Throws ModelError naming a tensor that nobody took.
  void check_all_taken() const;

 private:
  std::map<std::string, at::Tensor> values_;
};

/// sgd, adamw, rmsprop and rmsprop_keras; nullptr for another name. rmsprop_keras: v = 0.9 · v + 0.1 · g², w -= rate ·
/// g / √(v + 1e-7), with momentum m = momentum · m + rate · g / √(v + 1e-7), w -= m: RMSprop.update_step of Keras 3.
std::unique_ptr<Optimizer> make_pointwise_optimizer(const OptimizerSpec& spec, const std::vector<Moved>& moved);

std::unique_ptr<Optimizer> make_lbfgs(const std::vector<Moved>& moved);

}  // namespace engraft::train
