#include "graph/flops.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace engraft::graph {

namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

/// The counter that the innermost FlopCounter of this thread adds to.
thread_local int64_t* total = nullptr;

const at::Tensor& tensor(Inputs inputs, size_t i) { return inputs[i].toTensor(); }

/// [.., m, k] x [.., k, n]; either may be a vector.
int64_t product(const at::Tensor& a, const at::Tensor& b) {
  const int64_t columns = b.dim() < 2 ? 1 : b.size(-1);
  return 2 * a.numel() * columns;
}

/// weight [out, in / groups, kernel…] forward; [in, out / groups, kernel…] transposed.
int64_t convolution_per_place(const at::Tensor& weight) {
  return weight.size(0) == 0 ? 0 : 2 * weight.numel() / weight.size(0);
}

/// q [B, H, L, E], k [B, H, S, E], v [B, H, S, Ev].
int64_t attention(Inputs inputs) {
  const at::Tensor &q = tensor(inputs, 0), &k = tensor(inputs, 1), &v = tensor(inputs, 2);
  const int64_t scores = q.numel() / q.size(-1) * k.size(-2);
  return 2 * scores * (q.size(-1) + v.size(-1));
}

/// What is added once the operator has run.
struct Pending : at::ObserverContext {
  int64_t flops = 0;
  int64_t per_output = 0;  // for each number of the output
};

using Rule = std::function<void(Inputs, Pending&)>;

Rule matrix_product(size_t a, size_t b) {
  return [a, b](Inputs inputs, Pending& pending) { pending.flops = product(tensor(inputs, a), tensor(inputs, b)); };
}

/// Only the operators that do the work: aten::conv2d and aten::convolution end in aten::_convolution, aten::linear and
/// aten::matmul in one of the products.
const std::unordered_map<std::string, Rule>& rules() {
  static const std::unordered_map<std::string, Rule> table = {
      {"aten::_convolution",
       [](Inputs inputs, Pending& pending) {
         const bool transposed = inputs.size() > 6 && inputs[6].isBool() && inputs[6].toBool();
         const int64_t work = convolution_per_place(tensor(inputs, 1));
         if (transposed)
           pending.flops = tensor(inputs, 0).numel() * work;
         else
           pending.per_output = work;
       }},
      {"aten::mm", matrix_product(0, 1)},
      {"aten::mv", matrix_product(0, 1)},
      {"aten::bmm", matrix_product(0, 1)},
      {"aten::dot", matrix_product(0, 1)},
      {"aten::addmm", matrix_product(1, 2)},
      {"aten::addmv", matrix_product(1, 2)},
      {"aten::baddbmm", matrix_product(1, 2)},
      {"aten::addbmm", matrix_product(1, 2)},
      {"aten::_scaled_dot_product_flash_attention_for_cpu",
       [](Inputs inputs, Pending& pending) { pending.flops = attention(inputs); }},
      {"aten::_scaled_dot_product_flash_attention",
       [](Inputs inputs, Pending& pending) { pending.flops = attention(inputs); }},
      {"aten::_scaled_dot_product_efficient_attention",
       [](Inputs inputs, Pending& pending) { pending.flops = attention(inputs); }},
  };
  return table;
}

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& call) {
  const auto rule = rules().find(call.name());
  if (rule == rules().end() || total == nullptr) return nullptr;
  auto pending = std::make_unique<Pending>();
  rule->second(call.inputs(), *pending);
  return pending;
}

void on_end(const at::RecordFunction& call, at::ObserverContext* context) {
  if (context == nullptr || total == nullptr) return;
  const auto& pending = static_cast<const Pending&>(*context);
  *total += pending.flops;
  const auto outputs = call.outputs();
  if (pending.per_output != 0 && !outputs.empty() && outputs[0].isTensor())
    *total += pending.per_output * outputs[0].toTensor().numel();
}

}  // namespace

FlopCounter::FlopCounter() {
  total = &flops_;
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(on_start, on_end)
                                           .needsInputs(true)
                                           .needsOutputs(true)
                                           .scopes({at::RecordScope::FUNCTION}));
}

FlopCounter::~FlopCounter() {
  at::removeCallback(handle_);
  total = nullptr;
}

}  // namespace engraft::graph
