#include "finetune/precision.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/spread.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/forward_pass.h"
#include "finetune/int8_choice.h"
#include "model/preprocessing_source.h"
#include "store/remembered.h"
#include "tensor/device.h"
#include "tensor/named.h"

namespace engraft::finetune {

namespace {

using tensor::Precision;

/// One batch of the trial's rows, in equal steps: a listing is sorted by class.
std::vector<int64_t> spread_rows(const PrecisionTrial& trial) {
  std::vector<int64_t> rows;
  for (const int64_t place : evenly_spread(static_cast<int64_t>(trial.rows.size()), trial.options.batch_size))
    rows.push_back(trial.rows[static_cast<size_t>(place)]);
  return rows;
}

/// What the network gives for `rows`; nothing where none can be read.
std::vector<at::Tensor> outputs_in(Precision precision, const PrecisionTrial& trial, const std::vector<int64_t>& rows) {
  engine::EngineOptions options = trial.options;
  options.precision = precision;
  const auto engine = engine::make_torch_engine(trial.module, "forward", options);
  SilentReporter silent;
  std::vector<at::Tensor> out;
  forward_pass(
      trial.listing, rows, *engine, {trial.loader_threads, "trying bf16", trial.views},
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) { out = outputs; }, silent);
  return out;
}

/// The worst of all outputs.
Drift drift_of_all(const std::vector<at::Tensor>& bf16, const std::vector<at::Tensor>& f32) {
  Drift worst;
  for (size_t i = 0; i < f32.size(); ++i) {
    const Drift drift = drift_of(bf16[i], f32[i]);
    worst.pictures = drift.pictures;
    worst.largest = -lesser(-worst.largest, -drift.largest);
    worst.mean_cosine = lesser(worst.mean_cosine, drift.mean_cosine);
  }
  return worst;
}

std::string drift_text(const Drift& drift) {
  return text::cat("on ", text::count_of(drift.pictures, "picture"), " it differs from f32 by ",
                   text::fixed(100 * drift.largest, 2), " % of the largest value, cosine ",
                   text::fixed(drift.mean_cosine, 5));
}

/// Counts up where trying bf16 changes, so that nothing older is taken for it.
constexpr int kMethod = 1;

/// All that the outcome of a trial of bf16 on a CPU depends on.
io::Json key_of(const PrecisionTrial& trial, const std::vector<int64_t>& rows) {
  data::Listing used;
  for (const int64_t row : rows)
    used.samples.push_back(trial.listing.samples[static_cast<size_t>(trial.views.row_of(row))]);
  io::Json key = {{"method", kMethod},
                  {"network", *trial.network},
                  {"preprocessing", model::to_json(trial.options.preprocessing)},
                  {"batch", trial.options.batch_size},
                  {"platform", tensor::platform_text()},
                  {"pictures", data::data_digest(used)}};
  if (trial.views.is_random())
    key["views"] = {
        {"augmentation", image::to_text(trial.views.augmentation)}, {"seed", trial.views.seed}, {"items", rows}};
  return key;
}

io::Json finding_of(const Drift& drift) {
  return {{"pictures", drift.pictures}, {"largest", drift.largest}, {"mean_cosine", drift.mean_cosine}};
}

std::optional<Drift> drift_from(const io::Json& finding) {
  const auto is_number = [&](const char* name) { return finding.contains(name) && finding.at(name).is_number(); };
  if (!is_number("pictures") || !is_number("largest") || !is_number("mean_cosine")) return std::nullopt;
  return Drift{finding["pictures"].get<int64_t>(), finding["largest"].get<double>(),
               finding["mean_cosine"].get<double>()};
}

PrecisionChoice choice_of(const Drift& drift) {
  PrecisionChoice choice;
  choice.drift = drift;
  if (drift.mean_cosine >= kLeastCosine) {
    choice.precision = Precision::kBfloat16;
  } else {
    choice.fallback = drift_text(drift) + ", at least " + text::shortest(kLeastCosine) + " is asked for";
  }
  return choice;
}

/// Tries bf16; float32 with the reason where it does not do.
PrecisionChoice try_bf16(const PrecisionTrial& trial, const std::vector<int64_t>& rows) {
  PrecisionChoice choice;
  const std::vector<at::Tensor> f32 = outputs_in(Precision::kFloat32, trial, rows);
  if (f32.empty()) {
    choice.fallback = "none of the pictures to try it on can be read";
    return choice;
  }
  try {
    return choice_of(drift_of_all(outputs_in(Precision::kBfloat16, trial, rows), f32));
  } catch (const ModelError& error) {
    choice.fallback = error.what();
    return choice;
  }
}

/// As it was found in an earlier run on the same pictures, or now.
PrecisionChoice known_or_tried_bf16(const PrecisionTrial& trial) {
  const std::vector<int64_t> rows = spread_rows(trial);
  if (trial.network == nullptr || !trial.options.device.is_cpu()) return try_bf16(trial, rows);
  const store::Remembered remembered(trial.cache_dir, "bf16");
  const io::Json key = key_of(trial, rows);
  if (const auto known = remembered.find(key)) {
    if (const auto drift = drift_from(*known)) return choice_of(*drift);
  }
  PrecisionChoice choice = try_bf16(trial, rows);
  if (choice.drift) remembered.keep(key, finding_of(*choice.drift));
  return choice;
}

const char* kind_of(const c10::Device& device) { return device.is_cuda() ? "GPU" : "CPU"; }

/// Where int8 does not do, what `otherwise` chooses.
PrecisionChoice int8_or_other(const PrecisionTrial& trial, const std::string& otherwise, Reporter& reporter) {
  PrecisionChoice int8 = choose_int8(trial, reporter);
  if (int8.int8_refusal.empty()) {
    reporter.note(text::cat("precision: int8, calibrated on ", text::count_of(int8.int8->calibrated, "picture"), "; ",
                            verdict_text(*int8.int8)));
    return int8;
  }
  reporter.warn("precision: int8 does not do for this network and these pictures: " + int8.int8_refusal);
  return instead_of(int8, choose_precision(otherwise, trial, reporter));
}

}  // namespace

double lesser(double a, double b) { return std::isnan(a) || a < b ? a : b; }

at::Tensor row_cosines(const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor a = first.flatten(1).to(at::kDouble), b = second.flatten(1).to(at::kDouble);  // [B, elements]
  const at::Tensor lengths = a.norm(2, {1}) * b.norm(2, {1});
  return at::where(lengths == 0, at::all(a == b, 1).to(at::kDouble), (a * b).sum(1) / lengths);
}

Drift drift_of(const at::Tensor& bf16, const at::Tensor& f32) {
  Drift drift;
  drift.pictures = f32.size(0);
  drift.largest = tensor::relative_difference(bf16, f32);
  drift.mean_cosine = row_cosines(bf16, f32).mean().item<double>();
  return drift;
}

PrecisionChoice choose_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter) {
  const c10::Device& device = trial.options.device;
  if (wanted == "int8") return int8_or_other(trial, "auto", reporter);
  const std::string unit = tensor::bf16_unit(device);
  if (tensor::precision_from_text(wanted, device) == Precision::kFloat32) {
    reporter.note(
        text::cat("precision: f32", wanted == "auto" ? text::cat("; this ", kind_of(device), " has no bf16") : ""));
    return {};
  }
  if (unit.empty()) {
    reporter.warn(text::cat("precision: this ", kind_of(device), " has no bf16; in software it is slower than f32"));
  }
  PrecisionChoice choice = known_or_tried_bf16(trial);
  if (choice.fallback.empty()) {
    reporter.note(text::cat("precision: bf16 by ", unit.empty() ? "software" : unit, "; ", drift_text(*choice.drift)));
  } else {
    reporter.warn("precision: f32, since bf16 does not do for this network: " + choice.fallback);
  }
  return choice;
}

PrecisionChoice choose_judging_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter) {
  if (wanted == "int8") return int8_or_other(trial, "f32", reporter);
  return wanted == "bf16" ? choose_precision(wanted, trial, reporter) : PrecisionChoice();
}

void add_to(io::Json& record, const PrecisionChoice& choice) {
  const auto number = [](double value) { return std::isfinite(value) ? io::Json(value) : io::Json(); };
  record["precision"] = tensor::to_text(choice.precision);
  if (choice.drift) {
    record["drift"] = {{"pictures", choice.drift->pictures},
                       {"largest", number(choice.drift->largest)},
                       {"mean_cosine", number(choice.drift->mean_cosine)}};
  }
  if (choice.int8) record["int8"] = to_json(*choice.int8);
  const bool are_both = !choice.int8_refusal.empty() && !choice.fallback.empty();
  const std::string fallback = choice.int8_refusal + (are_both ? "; bf16: " : "") + choice.fallback;
  if (!fallback.empty()) record["precision_fallback"] = fallback;
}

}  // namespace engraft::finetune
