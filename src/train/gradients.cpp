#include "train/gradients.h"

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>

#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "tensor/device.h"

namespace engraft::train {

namespace {

constexpr uint64_t kStepKey = 0x73746570;  // "step"

[[noreturn]] void throw_not_finite(const std::string& what, const Where& where) {
  throw ModelError(text::cat(what, " in stage ", where.stage, ", epoch ", where.epoch, ", step ", where.step,
                             "; a lower --learning-rate is the usual remedy"));
}

/// By the sum, which takes one pass and is finite for finite elements unless they are huge.
bool is_finite(const at::Tensor& value) {
  return std::isfinite(value.sum().item<double>()) || value.isfinite().all().item<bool>();
}

}  // namespace

void check_finite(const char* what, double value, const Where& where) {
  if (!std::isfinite(value)) throw_not_finite(text::cat(what, " is ", text::shortest(value)), where);
}

void check_finite(const std::vector<tensor::NamedTensor>& tensors, const Where& where) {
  for (const tensor::NamedTensor& item : tensors) {
    if (item.value.is_floating_point() && !is_finite(item.value.detach())) {
      throw_not_finite("'" + item.name + "' is not finite", where);
    }
  }
}

void seed_step(const StepKey& key) {
  tensor::seed_generators(
      mix(mix(key.seed, kStepKey + static_cast<uint64_t>(key.stage)), static_cast<uint64_t>(key.step)));
}

BatchOutcome add_gradient(Trainee& trainee, const TrainBatch& batch, const LossOptions& options, double share) {
  const at::Tensor logits = trainee.forward(batch.inputs);  // [B, outputs]
  const at::Tensor loss = loss_of(logits, batch, options);
  const double value = loss.item<double>();
  if (std::isfinite(value)) (share == 1 ? loss : loss * share).backward();
  return {value, count_right(logits.detach(), batch, options.target), batch.labels.size(0)};
}

double clip_gradient(Trainee& trainee, double longest) {
  std::vector<at::Tensor> parameters;
  for (const tensor::NamedTensor& item : trainee.parameters()) parameters.push_back(item.value);
  return torch::nn::utils::clip_grad_norm_(parameters, longest);
}

}  // namespace engraft::train
