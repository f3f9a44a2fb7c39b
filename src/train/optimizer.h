#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/named.h"
#include "tensor/outer_gradient.h"

namespace engraft::train {

/// Where no momentum is given.
inline constexpr double kSgdMomentum = 0.9;

struct OptimizerSpec {
  /// "sgd", "adamw", "rmsprop" and "lbfgs" as torch.optim defines them, "rmsprop_keras" as Keras 3 does.
  std::string name = "adamw";
  /// Of sgd (kSgdMomentum where not given) and the two rmsprop (0 where not given); adamw and lbfgs take none.
  std::optional<double> momentum;
  /// Of sgd, with a momentum above 0.
  bool nesterov = false;
  /// Not applied to biases and to the affine weights of norms, that is to tensors of fewer than two dimensions.
  /// sgd and rmsprop add weight_decay · w to the gradient; adamw and rmsprop_keras shrink w by learning rate ·
  /// weight_decay before the update; lbfgs minimises the loss plus weight_decay / 2 · |w|².
  double weight_decay = 1e-4;
};

/// Leaves the gradient of the loss over all rows in the parameters and returns that loss. The same bits each time, at
/// the same parameters.
using FullLoss = std::function<double()>;

/// An update rule over named parameters and what it keeps of them.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// No parameter has a gradient afterwards.
  virtual void zero_grad() = 0;
  /// True: it needs the loss and the gradient over all rows, several times an update, so minimise() is its step.
  virtual bool is_full_batch() const { return false; }
  /// One update at the given rate by the gradients that are there, in grad() or as factors.
  virtual void step(double learning_rate) = 0;
  /// One update of an optimiser that is_full_batch(); the first thing it does is to call `loss` at the parameters as
  /// they are. What `loss` throws passes through, and then parameters and state() are to be restored.
  virtual void minimise(double learning_rate, const FullLoss& loss) = 0;
  /// What it keeps of each parameter between two steps, named PARAMETER/SLOT ("fc1.weight/exp_avg"): live tensors, and
  /// counts as int64 or float32, numbers as float64 scalars. Nothing for a parameter that was not updated yet. lbfgs,
  /// whose state is of all parameters together, names it "lbfgs/SLOT".
  virtual std::vector<tensor::NamedTensor> state() const = 0;
  /// Goes on from `state`, as state() gave it, whatever it kept before. Throws ModelError for a name or slot that it
  /// does not know, or a shape that is not the parameter's.
  virtual void restore(const std::vector<tensor::NamedTensor>& state) = 0;
};

/// `rate_scales`: for each parameter, what the rate is multiplied by; empty: 1 for all. `outer_gradients`: for each
/// parameter, where its gradient may be instead of in grad(), and is where it is wanted there; empty: nowhere.
/// lbfgs: strong Wolfe line search, 20 iterations and at most 25 evaluations an update, 100 past steps, which take 200
/// times the memory of the parameters.
/// Throws UsageError for an unknown name, no parameters, a number of scales that is not that of the parameters,
/// nesterov without momentum, and for lbfgs with scales other than 1 or parameters above 2,000,000 elements.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSpec& spec, const std::vector<tensor::NamedTensor>& parameters,
                                          const std::vector<double>& rate_scales = {},
                                          const std::vector<tensor::OuterGradient*>& outer_gradients = {});

}  // namespace engraft::train
