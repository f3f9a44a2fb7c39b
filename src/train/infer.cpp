#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <numeric>

#include "base/stop.h"
#include "train/fit.h"

namespace engraft::train {

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
    const at::Tensor logits = trainee.forward(batch.inputs).to(at::kCPU, at::kFloat).contiguous();  // [B, outputs]
    const at::Tensor labels = batch.labels.to(at::kCPU).contiguous();
    out.width = logits.size(1);
    out.logits.insert(out.logits.end(), logits.const_data_ptr<float>(),
                      logits.const_data_ptr<float>() + logits.numel());
    out.labels.insert(out.labels.end(), labels.const_data_ptr<int64_t>(),
                      labels.const_data_ptr<int64_t>() + labels.numel());
  }
  return out;
}

}  // namespace engraft::train
