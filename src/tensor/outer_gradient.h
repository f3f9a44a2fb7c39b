#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace engraft::tensor {

/// The gradient of a fully connected layer's weight [out, D] as the two factors whose product it is: gᵀ · x, with the
/// batch's gradient g [B, out] and inputs x [B, D]. They are far smaller than the weight, and an optimiser that
/// multiplies them out as it goes neither writes the product to memory nor reads it from there.
class OuterGradient {
 public:
  /// Whether the layer is to leave its gradient here rather than in the weight's grad().
  void want(bool is_wanted) { is_wanted_ = is_wanted; }
  bool is_wanted() const { return is_wanted_; }

  /// Throws std::logic_error if there is one already: gradients of several batches are not added up here.
  void put(const at::Tensor& of_outputs, const at::Tensor& inputs);
  void clear();
  bool is_empty() const { return !of_outputs_.defined(); }

  /// [B, out], with what scale() made of them.
  const at::Tensor& of_outputs() const { return of_outputs_; }
  /// [B, D].
  const at::Tensor& inputs() const { return inputs_; }
  /// The gradient itself, [out, D].
  at::Tensor dense() const;
  /// L2, by the factors: |gᵀx|² = Σ (g gᵀ) ∘ (x xᵀ), in float64.
  double length() const;
  void scale(double factor);

 private:
  bool is_wanted_ = false;
  at::Tensor of_outputs_;  // [B, out]
  at::Tensor inputs_;      // [B, D]
};

}  // namespace engraft::tensor
