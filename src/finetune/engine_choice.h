#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>
#include <string>

#include "base/report.h"
#include "engine/compute_options.h"
#include "engine/engine.h"
#include "finetune/precision.h"
#include "io/json.h"

namespace engraft::finetune {

/// Under what name findings about a network are kept for later runs, and where.
struct KnownAs {
  /// {"sha256": …, "taps": […]}; without one nothing is kept.
  const io::Json* network = nullptr;
  /// As store::cache_root has it.
  std::string cache_dir = {};
};

/// Throws UsageError where int8 is asked of LibTorch, which has none.
void require_int8_engine(const engine::ComputeOptions& options);

/// The engine for `forward` of `module`, asked for as `wanted` ("auto", "torch", "openvino"); of `options`, which are
/// those of a frozen network, all but the kind counts. `reporter` hears which it is, and why where it is not the one
/// that auto prefers. What a comparison found is remembered as `known` says. The same on every call with the same
/// arguments. Throws as engine::make_engine.
std::unique_ptr<engine::Engine> choose_engine(const std::string& wanted, const torch::jit::Module& module,
                                              engine::EngineOptions options, Reporter& reporter,
                                              const KnownAs& known = {});

/// The same for the trial's network, nothing of which learns, in the precision that was chosen on it; a comparison is
/// remembered where the trial names the network.
std::unique_ptr<engine::Engine> choose_frozen_engine(const std::string& wanted, const PrecisionTrial& trial,
                                                     const PrecisionChoice& choice, Reporter& reporter);

/// The same for what judges a model.pt on so many `pictures`, where "auto" is LibTorch and says nothing, but for int8:
/// its results are to be the same in result.json, by evaluate and by predict, on machines with and without other
/// engines. On a CPU it is folded where the pictures are worth it, kWorthFolding of them and up, which rounds otherwise
/// than below.
std::unique_ptr<engine::Engine> choose_judging_engine(const std::string& wanted, const torch::jit::Module& module,
                                                      engine::EngineOptions options, int64_t pictures,
                                                      Reporter& reporter);
/// Folding and comparing take as long as some tens of pictures.
constexpr int64_t kWorthFolding = 100;

/// "name", and where they are known "executed" (layers by precision), "difference" (from LibTorch in float32) and
/// "fallback".
io::Json to_json(const engine::EngineReport& report);

}  // namespace engraft::finetune
