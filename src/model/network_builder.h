#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace engraft::model {

/// One attribute of a module. A tensor that requires gradients is a parameter, another is a buffer.
struct Slot {
  std::string name;
  c10::IValue value;
};

/// Makes TorchScript modules with freshly drawn weights in a CompilationUnit of its own. The n-th weight tensor drawn
/// is a function of the seed, n and its shape.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(uint64_t seed);

  /// A module of class `class_name` with `slots`, `training`, and the method `source`. The first of a class defines it;
  /// later ones take its method and must have slots of the same names and types.
  torch::jit::Module module(const std::string& class_name, const std::vector<Slot>& slots, const std::string& source);

  /// What torch.nn.BatchNorm2d(channels, eps=1e-3, momentum=0.1) is, scripted: weight 1, bias 0, running_mean 0,
  /// running_var 1, num_batches_tracked 0.
  torch::jit::Module batch_norm(int64_t channels);

  /// Weights [out, in, height, width] of a convolution, as parameters.
  /// Normal with variance 2 / (out · height · width): He et al. 2015, by fan_out.
  at::Tensor he_normal(const std::vector<int64_t>& sizes);
  /// Uniform in ± sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010.
  at::Tensor glorot_uniform(const std::vector<int64_t>& sizes);
  /// A parameter that is `value` everywhere.
  at::Tensor constant(const std::vector<int64_t>& sizes, double value) const;

 private:
  uint64_t seed_;
  uint64_t drawn_ = 0;
  std::shared_ptr<torch::jit::CompilationUnit> unit_;
};

}  // namespace engraft::model
