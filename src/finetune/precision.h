#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "base/target.h"
#include "data/listing.h"
#include "engine/engine.h"
#include "finetune/views.h"
#include "io/json.h"
#include "model/compose.h"

namespace engraft::finetune {

/// How far what a network gives in bf16 lies from what it gives in float32.
struct Drift {
  int64_t pictures = 0;
  /// max |bf16 - f32| / max |f32| over all elements; of several outputs the worst.
  double largest = 0;
  /// Mean over pictures of the cosine between the two rows; of several outputs the worst. NaN where one is not finite.
  double mean_cosine = 1;
};

/// The drift of `bf16` from `f32`, float32 of one shape [B, …].
Drift drift_of(const at::Tensor& bf16, const at::Tensor& f32);

/// Below this mean cosine bf16 is not used: a seventh of a row's length is noise there. Networks that suit bf16 lie far
/// above (measured: Inception v3's last feature map 0.9997, GoogLeNet's logits 0.99998).
constexpr double kLeastCosine = 0.99;

/// The lesser of the two, and NaN where one is.
double lesser(double a, double b);

/// The cosine between each row of `a` and that of `b`, of one shape [B, …]: float64 [B]. 1 where both are 0, 0 where
/// one is.
at::Tensor row_cosines(const at::Tensor& a, const at::Tensor& b);

/// What eight bits cost on pictures that they were not calibrated on.
struct Int8Verdict {
  int64_t calibrated = 0;  // pictures
  int64_t judged = 0;
  /// Between rows in int8 and in float32; of several outputs the worst. NaN where one is not finite.
  double mean_cosine = 1;
  double least_cosine = 1;
  /// Of the judged pictures with a label: how many a probe tells right by rows of either precision, and how many by
  /// those of one alone; and how many there are of the most frequent class.
  struct Probe {
    int64_t pictures = 0, f32_right = 0, int8_right = 0, f32_alone = 0, int8_alone = 0, most_frequent = 0;
  };
  std::optional<Probe> probe;
  /// Of a model.pt: on how many of the judged pictures the precisions decide differently, and how many of those with a
  /// label they get right.
  struct Decisions {
    int64_t pictures = 0, differing = 0, labelled = 0, f32_right = 0, int8_right = 0;
  };
  std::optional<Decisions> decisions;
};

/// What a run computes in, and why.
struct PrecisionChoice {
  tensor::Precision precision = tensor::Precision::kFloat32;
  /// Where bf16 was tried.
  std::optional<Drift> drift;
  /// Where int8 was tried, and ran.
  std::optional<Int8Verdict> int8;
  /// By which int8 rounds.
  std::shared_ptr<const engine::Calibration> calibration;
  /// Why int8 was tried and is not used; else empty.
  std::string int8_refusal;
  /// The same of bf16.
  std::string fallback;
};

/// What a precision is tried on: `forward` of `module`, and bf16 on one batch of `rows`, spread over them, int8 on some
/// hundreds.
struct PrecisionTrial {
  const torch::jit::Module& module;
  const data::Listing& listing;
  /// Rows, or where there are `views` items of these, one a picture.
  const std::vector<int64_t>& rows;
  const engine::EngineOptions& options;
  int64_t loader_threads = 0;
  Views views = {};
  /// Of a model.pt, which int8 is judged by the decisions of; `scale` of regression.
  std::optional<Target> decides = {};
  TargetScale scale = {};
  /// How an output becomes a row of what is kept.
  model::Pool pool = model::Pool::kAverage;
  /// What network it is, for what is remembered of it: {"sha256": …, "taps": […]}; nothing is where there is none.
  const io::Json* network = nullptr;
  /// Where that is, as store::cache_root has it.
  std::string cache_dir = {};
};

/// `wanted` ("auto", "f32", "bf16", "int8") on the trial's device. Before bf16 is chosen one batch of real pictures
/// runs in both; where an operator has no bf16, the drift is beyond kLeastCosine, or no picture can be read, float32 is
/// chosen and `reporter` warned; else the choice and the drift are a note. int8 as choose_int8 (int8_choice.h) has it;
/// where it does not do, `reporter` is warned and the choice is that of "auto". The same on every call with the same
/// arguments. Throws as forward_pass and choose_int8, and ModelError where the network fails in float32.
PrecisionChoice choose_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter);

/// The same for what judges a model.pt, where "auto" is float32 and says nothing: the file holds float32 weights and
/// its results are to be the same on every machine, in result.json, by evaluate and by predict. So it is where int8
/// does not do.
PrecisionChoice choose_judging_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter);

/// Adds "precision" to `record`, and "drift", "int8" and "precision_fallback" where there are such.
void add_to(io::Json& record, const PrecisionChoice& choice);

}  // namespace engraft::finetune
