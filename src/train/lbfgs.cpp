#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/optim/lbfgs.h>

#include <deque>
#include <stdexcept>

#include "base/errors.h"
#include "base/text.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

constexpr int64_t kIterations = 20;
constexpr int64_t kMostElements = 2'000'000;
constexpr const char* kPrefix = "lbfgs/";

/// [n, …] of n equal tensors; undefined for none.
at::Tensor stacked(const std::deque<at::Tensor>& list) {
  return list.empty() ? at::Tensor() : at::stack(std::vector<at::Tensor>(list.begin(), list.end()));
}

std::deque<at::Tensor> unstacked(const at::Tensor& stack) {
  std::deque<at::Tensor> list;
  for (int64_t i = 0; stack.defined() && i < stack.size(0); ++i) list.push_back(stack[i].clone());
  return list;
}

class Lbfgs : public Optimizer {
 public:
  explicit Lbfgs(std::vector<Moved> moved) : moved_(std::move(moved)), inner_(values_of(moved_), options()) {
    for (const Moved& one : moved_) elements_ += one.parameter.value.numel();
  }

  void zero_grad() override { inner_.zero_grad(/*set_to_none=*/true); }
  bool is_full_batch() const override { return true; }
  void step(double) override { throw std::logic_error("lbfgs moves by minimise() alone"); }

  void minimise(double learning_rate, const FullLoss& loss) override {
    inner_.param_groups().front().options().set_lr(learning_rate);
    inner_.step([&] {
      zero_grad();
      const double value = loss();
      make_gradients_flat();
      return at::scalar_tensor(value + add_decay(), at::kDouble);
    });
  }

  std::vector<tensor::NamedTensor> state() const override {
    const auto found = inner_.state().find(key());
    if (found == inner_.state().end()) return {};
    auto& kept = static_cast<torch::optim::LBFGSParamState&>(*found->second);
    std::vector<tensor::NamedTensor> out;
    const auto add = [&](const char* slot, const at::Tensor& value) {
      if (value.defined()) out.push_back({std::string(kPrefix) + slot, value});
    };
    add("func_evals", at::scalar_tensor(kept.func_evals(), at::kLong));
    add("n_iter", at::scalar_tensor(kept.n_iter(), at::kLong));
    add("t", at::scalar_tensor(kept.t(), at::kDouble));
    add("prev_loss", at::scalar_tensor(kept.prev_loss(), at::kDouble));
    add("d", kept.d());
    add("H_diag", kept.H_diag());
    add("prev_flat_grad", kept.prev_flat_grad());
    add("old_dirs", stacked(kept.old_dirs()));
    add("old_stps", stacked(kept.old_stps()));
    add("ro", stacked(kept.ro()));
    return out;
  }

  void restore(const std::vector<tensor::NamedTensor>& state) override {
    inner_.state().clear();
    if (state.empty()) return;
    StateValues values(state);
    auto kept = std::make_unique<torch::optim::LBFGSParamState>();
    kept->func_evals(number(values, "func_evals").item<int64_t>());
    kept->n_iter(number(values, "n_iter").item<int64_t>());
    kept->t(number(values, "t").item<double>());
    kept->prev_loss(number(values, "prev_loss").item<double>());
    kept->d(flat(values, "d", /*dims=*/1));
    kept->H_diag(on_device(values.take(std::string(kPrefix) + "H_diag")));
    kept->prev_flat_grad(flat(values, "prev_flat_grad", /*dims=*/1));
    kept->old_dirs(unstacked(flat(values, "old_dirs", /*dims=*/2)));
    kept->old_stps(unstacked(flat(values, "old_stps", /*dims=*/2)));
    kept->ro(unstacked(on_device(values.take(std::string(kPrefix) + "ro"))));
    values.check_all_taken();
    if (kept->old_dirs().size() != kept->old_stps().size() || kept->old_dirs().size() != kept->ro().size()) {
      throw ModelError(text::cat("optimiser: lbfgs/ has ", kept->old_dirs().size(), " old_dirs, ",
                                 kept->old_stps().size(), " old_stps and ", kept->ro().size(),
                                 " ro, expected as many"));
    }
    inner_.state()[key()] = std::move(kept);
  }

 private:
  static torch::optim::LBFGSOptions options() {
    return torch::optim::LBFGSOptions(1).max_iter(kIterations).line_search_fn("strong_wolfe");
  }
  static std::vector<at::Tensor> values_of(const std::vector<Moved>& moved) {
    std::vector<at::Tensor> values;
    for (const Moved& one : moved) values.push_back(one.parameter.value);
    return values;
  }

  /// LibTorch keeps the whole state under the first parameter.
  void* key() const { return moved_.front().parameter.value.unsafeGetTensorImpl(); }

  /// LibTorch views each gradient as one row, which a channels_last one does not allow.
  void make_gradients_flat() const {
    for (const Moved& one : moved_) {
      at::Tensor weights = one.parameter.value;
      if (weights.grad().defined()) weights.mutable_grad() = weights.grad().contiguous();
    }
  }

  /// Adds the penalty's gradient to the gradients and returns the penalty.
  double add_decay() const {
    const c10::NoGradGuard no_grad;
    double penalty = 0;
    for (const Moved& one : moved_) {
      const at::Tensor& weights = one.parameter.value;
      if (one.weight_decay == 0 || !weights.grad().defined()) continue;
      at::Tensor gradient = weights.grad();
      gradient.add_(weights, one.weight_decay);
      penalty += one.weight_decay / 2 * weights.square().sum(at::kDouble).item<double>();
    }
    return penalty;
  }

  static at::Tensor number(StateValues& values, const char* slot) {
    const at::Tensor value = values.take(std::string(kPrefix) + slot);
    if (value.defined() && value.dim() == 0) return value;
    throw ModelError(text::cat("optimiser: lbfgs/", slot, ": expected a number, found ",
                               value.defined() ? text::shape(value.sizes().vec()) : "nothing"));
  }
  at::Tensor on_device(const at::Tensor& value) const {
    if (!value.defined()) return {};
    // Scalars that were made on the CPU stay there, as LibTorch leaves them.
    const bool is_scalar = value.dim() == 0;
    return value.to(is_scalar ? at::Device(at::kCPU) : moved_.front().parameter.value.device(), /*non_blocking=*/false,
                    /*copy=*/true);
  }
  /// A tensor whose last of `dims` dimensions is all parameters' elements.
  at::Tensor flat(StateValues& values, const char* slot, int64_t dims) const {
    const at::Tensor value = values.take(std::string(kPrefix) + slot);
    if (!value.defined()) return {};
    if (value.dim() == dims && value.size(-1) == elements_) return on_device(value);
    throw ModelError(text::cat("optimiser: lbfgs/", slot, " is ", text::shape(value.sizes().vec()), ", expected ",
                               dims == 2 ? "[n, " : "[", elements_, "]"));
  }

  std::vector<Moved> moved_;
  int64_t elements_ = 0;
  torch::optim::LBFGS inner_;
};

}  // namespace

std::unique_ptr<Optimizer> make_lbfgs(const std::vector<Moved>& moved) {
  int64_t elements = 0;
  for (const Moved& one : moved) {
    elements += one.parameter.value.numel();
    if (one.rate_scale != 1) {
      throw UsageError(text::cat("lbfgs: takes one learning rate for all parameters, found a scale of ", one.rate_scale,
                                 " for ", one.parameter.name));
    }
  }
  if (elements > kMostElements) {
    throw UsageError(text::cat("lbfgs: keeps 200 copies of what learns, so at most ", kMostElements,
                               " parameters, found ", elements));
  }
  return std::make_unique<Lbfgs>(moved);
}

}  // namespace engraft::train
