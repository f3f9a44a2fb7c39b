#include "model/norm_recalibration.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "base/errors.h"
#include "graph/norms.h"

namespace engraft::model {

using torch::jit::Module;

namespace {

bool learns(const std::string& path, const FreezePlan& plan) {
  for (const std::string& block : plan.learning) {
    if (belongs_to(path, block)) return true;
  }
  return false;
}

/// Ones in the numbers of dimensions that norms take.
std::vector<at::Tensor> ones(const at::Tensor& like) {
  const int64_t channels = like.numel();
  return {at::ones({2, channels, 2, 2}, like.options()), at::ones({2, channels}, like.options()),
          at::ones({2, channels, 2, 2, 2}, like.options())};
}

bool takes(Module& norm, const at::Tensor& x) {
  try {
    norm.forward({x});
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

NormRecalibration::Norm NormRecalibration::norm_at(const std::string& path, const Module& module) {
  Norm norm;
  norm.path = path;
  norm.module = module;
  norm.mean = module.attr("running_mean").toTensor();
  norm.variance = module.attr("running_var").toTensor();
  norm.old_mean = norm.mean.detach().clone();
  norm.old_variance = norm.variance.detach().clone();
  if (module.hasattr("num_batches_tracked") && module.attr("num_batches_tracked").isTensor()) {
    norm.batches = module.attr("num_batches_tracked").toTensor();
    norm.old_batches = norm.batches.item<int64_t>();
  }
  norm.mean_sum = at::zeros_like(norm.mean, norm.mean.options().dtype(at::kDouble));
  norm.variance_sum = at::zeros_like(norm.mean_sum);
  return norm;
}

void NormRecalibration::clear(Norm& norm) {
  norm.mean.zero_();
  norm.variance.zero_();
  if (norm.batches.defined()) norm.batches.zero_();
}

void NormRecalibration::put_back(Norm& norm) {
  norm.mean.copy_(norm.old_mean);
  norm.variance.copy_(norm.old_variance);
  if (norm.batches.defined()) norm.batches.fill_(norm.old_batches);
}

// From a running mean of 0, a batch of ones leaves the momentum itself: (1 - m) · 0 + m · 1.
double NormRecalibration::measured_momentum(Norm& norm) {
  norm.module.setattr("training", true);
  bool ran = false;
  for (const at::Tensor& x : ones(norm.mean)) {
    clear(norm);
    ran = takes(norm.module, x);
    if (ran) break;
  }
  norm.module.setattr("training", false);
  const double least = norm.mean.min().item<double>(), most = norm.mean.max().item<double>();
  put_back(norm);
  constexpr double kSame = 1e-6;  // all channels see the same ones; only rounding may tell them apart
  if (!ran || !(least >= 0 && most <= 1 + kSame && most - least <= kSame * most)) {
    throw ModelError(
        "batch norm '" + norm.path +
        "': its statistics cannot be measured, since its module does more than normalise what it is given");
  }
  return most;
}

NormRecalibration::NormRecalibration(Module& backbone, const FreezePlan& plan) : backbone_(backbone), plan_(plan) {
  c10::NoGradGuard no_grad;
  set_modes(backbone_, plan_, /*training=*/false);
  std::vector<std::string> paths;
  for (const graph::NormLayer& layer : graph::norm_layers(backbone_)) paths.push_back(layer.path);
  for (const auto& item : backbone_.named_modules()) {
    if (std::find(paths.begin(), paths.end(), item.name) == paths.end() || !learns(item.name, plan_)) continue;
    if (!item.value.hasattr("training")) continue;
    Norm norm = norm_at(item.name, item.value);
    norm.momentum = measured_momentum(norm);
    if (norm.momentum > 0) norms_.push_back(std::move(norm));
  }
}

NormRecalibration::~NormRecalibration() {
  if (is_finished_) return;
  c10::NoGradGuard no_grad;
  for (Norm& norm : norms_) put_back(norm);
  set_modes(backbone_, plan_, /*training=*/false);
}

void NormRecalibration::before_batch() {
  c10::NoGradGuard no_grad;
  set_modes(backbone_, plan_, /*training=*/false);
  for (Norm& norm : norms_) {
    clear(norm);
    norm.module.setattr("training", true);
  }
}

void NormRecalibration::after_batch(int64_t rows) {
  c10::NoGradGuard no_grad;
  for (Norm& norm : norms_) {
    const int64_t counted = norm.batches.defined() ? norm.batches.item<int64_t>() : 0;
    // A norm that does not count its calls was called if anything moved: a batch's variance is not 0 everywhere.
    if (counted == 0 && !norm.variance.any().item<bool>() && !norm.mean.any().item<bool>()) continue;
    const double calls = static_cast<double>(std::max<int64_t>(1, counted));
    const double share = 1 - std::pow(1 - norm.momentum, calls);
    norm.mean_sum.add_(norm.mean.to(at::kDouble), static_cast<double>(rows) / share);
    norm.variance_sum.add_(norm.variance.to(at::kDouble), static_cast<double>(rows) / share);
    norm.rows_seen += rows;
    norm.batches_seen += 1;
  }
}

void NormRecalibration::finish() {
  c10::NoGradGuard no_grad;
  for (const Norm& norm : norms_) {
    if (at::isfinite(norm.mean_sum).logical_and(at::isfinite(norm.variance_sum)).all().item<bool>()) continue;
    throw ModelError("batch norm '" + norm.path + "': what it was given is not finite, so it has no statistics");
  }
  for (Norm& norm : norms_) {
    put_back(norm);
    if (norm.rows_seen == 0) continue;
    norm.mean.copy_(norm.mean_sum.div(static_cast<double>(norm.rows_seen)));
    norm.variance.copy_(norm.variance_sum.div(static_cast<double>(norm.rows_seen)));
    if (norm.batches.defined()) norm.batches.fill_(norm.batches_seen);
  }
  set_modes(backbone_, plan_, /*training=*/false);
  is_finished_ = true;
}

}  // namespace engraft::model
