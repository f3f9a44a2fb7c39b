#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "model/head.h"
#include "train/head_ops.h"

namespace engraft::finetune {

/// Of a layer that is not linear.
train::HeadOp op_of(model::HeadLayer::Kind kind);

/// The layers of T heads of one shape, as one network from [B, D] to [B, T, K]. The first layer, which all heads feed
/// with the same rows, is one matrix product; the others are batched ones.
class StackedLayers {
 public:
  /// Heads whose layers differ in nothing but weights and probabilities of dropout, and begin with a linear one.
  StackedLayers(const std::vector<model::Head>& heads, const std::vector<std::vector<model::HeadLayer>>& layers);

  int64_t heads() const { return heads_; }
  /// Logits [B, T, K], without gradients.
  at::Tensor infer(const at::Tensor& rows) const;
  /// The same with dropout; gradient() afterwards finds its way back. `reseed` brings LibTorch's generators to where
  /// they are when one head alone begins the step: what is dropped is what Head drops.
  at::Tensor forward(const at::Tensor& rows, const std::function<void()>& reseed);
  /// Leaves the gradient of `losses` [T], each by its own head's parameters, in their grad().
  void gradient(const at::Tensor& rows, const at::Tensor& losses);
  /// Of head `t`, live, in the order of Head::parameters(): fc1.weight, fc1.bias, fc2.weight, …; views of the stack,
  /// with views of its gradients as grad().
  std::vector<tensor::NamedTensor> parameters(int64_t t) const;
  /// Those heads alone, in this order.
  StackedLayers selected(const std::vector<int64_t>& heads) const;

 private:
  struct Linear {
    at::Tensor weight, bias;                    // [T, out, in], [T, out]
    at::Tensor weight_gradient, bias_gradient;  // the same
  };
  StackedLayers() = default;
  void make_gradients();
  /// `masks`: for each dropout, what [B, T, H] is multiplied by; none: they do nothing.
  at::Tensor after_first(at::Tensor first, const std::vector<at::Tensor>& masks) const;
  std::vector<at::Tensor> draw_masks(const at::Tensor& rows, const std::function<void()>& reseed) const;
  at::Tensor first_product(const at::Tensor& rows) const;

  int64_t heads_ = 0;
  std::vector<model::HeadLayer> layers_;            // of the first head
  std::vector<std::vector<double>> probabilities_;  // of each head, its dropouts
  std::vector<Linear> linear_;
  at::Tensor first_;  // of the last forward(), [B, T, out], with a gradient once gradient() was called
};

}  // namespace engraft::finetune
