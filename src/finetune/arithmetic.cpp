#include "finetune/arithmetic.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "finetune/engine_choice.h"

namespace engraft::finetune {

namespace {

constexpr const char* kStagesHaveNoInt8 =
    "int8 is for a head on features; what stages unfreeze blocks on is computed otherwise";

std::string precision_wanted(const Setup& setup, Reporter& reporter) {
  const std::string& wanted = setup.options.compute.precision;
  const bool is_head_alone = std::all_of(setup.stages.begin(), setup.stages.end(), [](const StagePlan& stage) {
    return stage.epochs == 0 || stage.is_on_features();
  });
  if (wanted != "int8" || is_head_alone) return wanted;
  reporter.warn(text::cat("precision: ", kStagesHaveNoInt8));
  return "auto";
}

/// A view of each training picture, of one after another each of them; without augmentation the pictures.
std::vector<int64_t> seen_once(const Setup& setup) {
  if (!setup.views.is_random()) return setup.train_rows;
  std::vector<int64_t> items;
  for (const int64_t row : setup.train_rows) items.push_back(setup.views.item(row, row % setup.views.count));
  return items;
}

/// Whether a stage has something below its cut.
bool has_frozen_part(const Setup& setup) {
  return std::any_of(setup.stages.begin(), setup.stages.end(), [](const StagePlan& stage) {
    return stage.epochs > 0 && (stage.is_on_features() || !stage.cut.empty());
  });
}

}  // namespace

void choose_arithmetic(Setup& setup, Reporter& reporter) {
  const io::Json named = {{"sha256", setup.backbone.sha256}, {"taps", {setup.tap}}};
  const std::string wanted = precision_wanted(setup, reporter);
  const bool is_int8 = wanted == "int8";  // rounds by what it was calibrated on: what is seen in training
  const std::vector<int64_t> items = is_int8 ? seen_once(setup) : setup.train_rows;
  PrecisionTrial trial{setup.body, setup.listing, items, setup.engine_options, setup.options.compute.loader_threads};
  if (is_int8) trial.views = setup.views;
  if (!setup.backbone.is_new) trial.network = &named;
  trial.pool = setup.pool;
  trial.cache_dir = setup.options.cache.cache_dir;
  setup.precision = choose_precision(wanted, trial, reporter);
  if (wanted != setup.options.compute.precision) setup.precision.int8_refusal = kStagesHaveNoInt8;
  if (has_frozen_part(setup)) {
    const auto engine = choose_frozen_engine(setup.options.compute.engine, trial, setup.precision, reporter);
    setup.engine = engine->report();
    setup.engine_options = engine->options();
    return;
  }
  if (setup.options.compute.engine == "openvino")
    reporter.warn("--engine openvino: all blocks learn, and LibTorch trains; nothing is left for OpenVINO to run");
  setup.engine_options.precision = setup.precision.precision;
  setup.engine_options.kind = engine::EngineKind::kTorch;
  setup.engine.name = engine::engine_name(setup.engine_options);
}

}  // namespace engraft::finetune
