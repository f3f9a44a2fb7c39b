#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <numeric>

#include "base/stop.h"
#include "train/fit.h"

namespace engraft::train {

namespace {

template <class Number>
void append(const at::Tensor& tensor, at::ScalarType type, std::vector<Number>& to) {
  const at::Tensor values = tensor.to(at::kCPU, type).contiguous();
  to.insert(to.end(), values.const_data_ptr<Number>(), values.const_data_ptr<Number>() + values.numel());
}

}  // namespace

Outputs infer(Trainee& trainee, BatchSource& source, int64_t batch_size) {
  trainee.set_training(false);
  c10::NoGradGuard no_grad;
  Outputs out;
  std::vector<int64_t> in_order(static_cast<size_t>(source.rows()));
  std::iota(in_order.begin(), in_order.end(), 0);
  source.start(in_order, /*epoch=*/0, batch_size);
  TrainBatch batch;
  while (source.next(batch)) {
    throw_if_stopped("evaluating");
    const at::Tensor logits = trainee.forward(batch.inputs);  // [B, outputs]
    out.width = logits.size(1);
    append<float>(logits, at::kFloat, out.logits);
    if (batch.labels.scalar_type() == at::kLong) {
      append<int64_t>(batch.labels, at::kLong, out.labels);
    } else {
      append<double>(batch.labels, at::kDouble, out.values);
    }
  }
  return out;
}

}  // namespace engraft::train
