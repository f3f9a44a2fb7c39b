#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "data/listing.h"
#include "engine/engine.h"
#include "io/json.h"

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

/// What a run computes in, and why.
struct PrecisionChoice {
  tensor::Precision precision = tensor::Precision::kFloat32;
  /// Where bf16 was tried.
  std::optional<Drift> drift;
  /// Why bf16 was tried and is not used; else empty.
  std::string fallback;
};

/// What bf16 is tried on: `forward` of `module` and one batch of `rows`, spread over them.
struct PrecisionTrial {
  const torch::jit::Module& module;
  const data::Listing& listing;
  const std::vector<int64_t>& rows;
  const engine::EngineOptions& options;
  int64_t loader_threads = 0;
};

/// `wanted` ("auto", "f32", "bf16") on the trial's device. Before bf16 is chosen one batch of real pictures runs in
/// both; where an operator has no bf16, the drift is beyond kLeastCosine, or no picture can be read, float32 is chosen
/// and `reporter` warned; else the choice and the drift are a note. The same on every call with the same arguments.
/// Throws as forward_pass, and ModelError where the network fails in float32.
PrecisionChoice choose_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter);

/// The same for what judges a model.pt, where "auto" is float32 and says nothing: the file holds float32 weights and
/// its results are to be the same on every machine, in result.json, by evaluate and by predict.
PrecisionChoice choose_judging_precision(const std::string& wanted, const PrecisionTrial& trial, Reporter& reporter);

/// Adds "precision" to `record`, and "drift" and "precision_fallback" where there are such.
void add_to(io::Json& record, const PrecisionChoice& choice);

}  // namespace engraft::finetune
