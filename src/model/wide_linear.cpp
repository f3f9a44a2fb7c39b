#include "model/wide_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace engraft::model {

namespace {

constexpr int64_t kWide = 1 << 20;  // weights that do not stay in a core's cache

// A batch of some tens of rows makes a fully connected layer as fast as its weights can be read. MKL reads them at two
// thirds of the speed where they are the right factor and not transposed, as in LibTorch's gradient of x.
class WideLinear : public torch::autograd::Function<WideLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({x, weight});
    return at::linear(x, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const torch::autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &gradient = gradients[0];  // gradient [B, out]
    at::Tensor of_x, of_weight, of_bias;
    if (context->needs_input_grad(0)) of_x = at::mm(weight.t(), gradient.t()).t().contiguous();  // [B, D]
    if (context->needs_input_grad(1)) of_weight = at::mm(gradient.t(), x);                       // [out, D]
    if (context->needs_input_grad(2)) of_bias = gradient.sum(0);                                 // [out]
    return {of_x, of_weight, of_bias};
  }
};

}  // namespace

at::Tensor wide_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (weight.numel() < kWide || !weight.is_cpu()) return at::linear(x, weight, bias);
  return WideLinear::apply(x, weight, bias);
}

}  // namespace engraft::model
