#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "model/head_spec.h"
#include "tensor/named.h"
#include "tensor/outer_gradient.h"

namespace torch::jit {
struct Module;
struct CompilationUnit;
}  // namespace torch::jit

namespace engraft::model {

struct HeadOptions {
  /// D of the embeddings that come in.
  int64_t embedding_dim = 0;
  /// K of the logits that go out (1 for a single sigmoid logit).
  int64_t outputs = 0;
  /// As parse_head reads it.
  std::string spec;
  uint64_t seed = 42;
};

/// The fully connected layers we add, from embeddings to logits. Parameters are float32, named `fc1.weight`
/// [out, in], `fc1.bias` [out], `fc2.weight`, … in order.
class Head {
 public:
  /// Initialises every linear layer as torch.nn.Linear does: weight and bias uniform in ±1/sqrt(in) (He et al. 2015
  /// with a = sqrt(5)), drawn from a RandomStream, so the same on every machine.
  /// Throws UsageError for a wrong spec, and for a head of more than 1 GB, with the arithmetic.
  explicit Head(const HeadOptions& options);
  ~Head();
  Head(Head&&) noexcept;
  Head& operator=(Head&&) noexcept;

  const HeadOptions& options() const { return options_; }

  /// Maps `embeddings` [B, D] float32 to logits [B, K] float32, before softmax. Dropout acts while is_training().
  /// Throws ModelError if D is not `options().embedding_dim`.
  at::Tensor forward(const at::Tensor& embeddings) const;

  void set_training(bool training) { training_ = training; }
  bool is_training() const { return training_; }

  /// The live parameters, in order; they require gradients.
  const std::vector<tensor::NamedTensor>& parameters() const { return parameters_; }

  /// For each of parameters(), where forward() can leave its gradient as factors; nullptr: nowhere.
  std::vector<tensor::OuterGradient*> outer_gradients() const;

  /// Moves the parameters (once, before training).
  void to(const c10::Device& device);

  /// Writes the head as a TorchScript module of class `__torch__.engraft.Head` into `unit`: submodules fc1, fc2, …
  /// with the same parameter names, copies of the values, and a forward that gives the same bits.
  torch::jit::Module to_script(std::shared_ptr<torch::jit::CompilationUnit> unit) const;

 private:
  HeadOptions options_;
  std::vector<HeadLayer> layers_;
  std::vector<tensor::NamedTensor> parameters_;
  std::vector<std::unique_ptr<tensor::OuterGradient>> outer_;  // one for each linear layer
  bool training_ = false;
};

/// "1280 → 2, 2.56 k parameters" and the like.
std::string describe(const Head& head);

}  // namespace engraft::model
