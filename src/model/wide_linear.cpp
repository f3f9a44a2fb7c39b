#include "model/wide_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <string_view>

namespace engraft::model {

namespace {

constexpr int64_t kWide = 1 << 20;  // weights that do not stay in a core's cache

using FusedLinear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                               c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

/// x [B, D] times weight [out, D] transposed, plus bias, by oneDNN. A batch of some tens of rows makes a wide layer as
/// fast as its weights can be read, and MKL, which at::linear takes, packs them first: it needs half as long again.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  static const auto linear =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<FusedLinear>();
  return linear.call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
}

/// Where the weight's gradient is left; a capsule that the backward pass keeps.
struct Destination : torch::CustomClassHolder {
  explicit Destination(tensor::OuterGradient* where) : outer(where) {}
  tensor::OuterGradient* outer;
};

class WideLinear : public torch::autograd::Function<WideLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, tensor::OuterGradient* outer) {
    context->save_for_backward({x, weight});
    context->saved_data["outer"] = c10::IValue::make_capsule(c10::make_intrusive<Destination>(outer));
    return onednn_linear(x, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], gradient = gradients[0].contiguous();  // gradient [B, out]
    at::Tensor of_x, of_weight, of_bias;
    if (context->needs_input_grad(0)) of_x = onednn_linear(gradient, weight.t(), std::nullopt);  // [B, D]
    if (context->needs_input_grad(1)) of_weight = weight_gradient(context, gradient, x);         // [out, D]
    if (context->needs_input_grad(2)) of_bias = gradient.sum(0);                                 // [out]
    return {of_x, of_weight, of_bias, at::Tensor()};
  }

 private:
  /// Undefined where it is left as factors.
  static at::Tensor weight_gradient(torch::autograd::AutogradContext* context, const at::Tensor& gradient,
                                    const at::Tensor& x) {
    const auto capsule = context->saved_data["outer"].toCapsule();
    tensor::OuterGradient* outer = static_cast<const Destination&>(*capsule).outer;
    if (outer == nullptr || !outer->is_wanted()) return at::mm(gradient.t(), x);
    outer->put(gradient, x);
    return {};
  }
};

}  // namespace

at::Tensor wide_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                       tensor::OuterGradient* outer) {
  // Without gradients as model.pt computes it, so that what is validated here is what the file gives.
  const bool is_ours = c10::GradMode::is_enabled() && weight.numel() >= kWide && weight.is_cpu() &&
                       x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && at::hasMKLDNN();
  return is_ours ? WideLinear::apply(x, weight, bias, outer) : at::linear(x, weight, bias);
}

}  // namespace engraft::model
