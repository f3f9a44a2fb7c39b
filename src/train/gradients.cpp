#include "train/gradients.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "tensor/device.h"

namespace engraft::train {

namespace {

constexpr uint64_t kStepKey = 0x73746570;  // "step"

[[noreturn]] void throw_not_finite(const std::string& what, const Where& where) {
  const std::string step = where.step > 0 ? text::cat(", step ", where.step) : "";
  throw ModelError(text::cat(what, " in stage ", where.stage, ", epoch ", where.epoch, step,
                             "; a lower --learning-rate is the usual remedy"));
}

/// By the sum, which takes one pass and is finite for finite elements unless they are huge.
bool is_finite(const at::Tensor& value) {
  return std::isfinite(value.sum().item<double>()) || value.isfinite().all().item<bool>();
}

double length_of(const at::Tensor& value) {
  return at::linalg_vector_norm(value, 2, /*dim=*/c10::nullopt, /*keepdim=*/false, at::kDouble).item<double>();
}

double square(double value) { return value * value; }

}  // namespace

void check_finite(const std::string& what, double value, const Where& where) {
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

BatchLoss loss_of(Trainee& trainee, const TrainBatch& batch, const LossOptions& options) {
  const at::Tensor features = trainee.features(batch.inputs);
  const at::Tensor logits = trainee.outputs(features);  // [B, outputs]
  at::Tensor loss = loss_of(logits, batch, options);
  if (batch.lessons.defined()) {
    const at::Tensor given = options.teacher.are_logits ? logits : trainee.imitation(features);
    loss = loss + options.teacher.weight * teacher_loss(given, batch.lessons, options.teacher);
  }
  return {loss, logits};
}

BatchOutcome add_gradient(Trainee& trainee, const TrainBatch& batch, const LossOptions& options, double share) {
  const auto [loss, logits] = loss_of(trainee, batch, options);
  const double value = loss.item<double>();
  if (std::isfinite(value)) (share == 1 ? loss : loss * share).backward();
  return {value, count_right(logits.detach(), batch, options.target), batch.labels.size(0)};
}

double clip_gradient(Trainee& trainee, double longest) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const tensor::NamedTensor& item : trainee.parameters()) {
    if (item.value.grad().defined()) gradients.push_back(item.value.grad());
  }
  std::vector<tensor::OuterGradient*> factors;
  for (tensor::OuterGradient* one : trainee.outer_gradients()) {
    if (one != nullptr && !one->is_empty()) factors.push_back(one);
  }
  double squares = 0;
  for (const at::Tensor& gradient : gradients) squares += square(length_of(gradient));
  for (const tensor::OuterGradient* one : factors) squares += square(one->length());
  const double length = std::sqrt(squares);
  const double scale = longest / (length + 1e-6);
  if (scale < 1) {
    for (at::Tensor& gradient : gradients) gradient.mul_(scale);
    for (tensor::OuterGradient* one : factors) one->scale(scale);
  }
  return length;
}

}  // namespace engraft::train
