#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/jit/api/module.h>

#include <utility>
#include <vector>

namespace engraft::graph {

/// Eval mode without gradients while it lives; then every submodule's mode and every buffer is as it was.
class EvalScope {
 public:
  explicit EvalScope(const torch::jit::Module& module);
  ~EvalScope();
  EvalScope(const EvalScope&) = delete;
  EvalScope& operator=(const EvalScope&) = delete;

 private:
  at::NoGradGuard no_grad_;
  std::vector<std::pair<torch::jit::Module, bool>> modes_;
  std::vector<std::pair<at::Tensor, at::Tensor>> buffers_;  // the tensor, its values
};

}  // namespace engraft::graph
