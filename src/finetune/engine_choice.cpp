#include "finetune/engine_choice.h"

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "model/preprocessing_source.h"
#include "store/remembered.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

std::string difference_text(const engine::EngineReport& report) {
  if (report.difference < 0) return "";
  return text::cat("; differs from LibTorch in f32 by ", text::fixed(100 * report.difference, 4),
                   " % of the outputs' RMS");
}

/// Counts up where comparing, converting or folding change (engine/parity, frozen_graph, torch_script_decoder,
/// folded_network), so that nothing older is taken for it.
constexpr int kMethod = 1;

/// All that a comparison's result depends on beside the engine. On a GPU nothing is remembered: its model is not known
/// here.
std::shared_ptr<const engine::KnownDifferences> known_differences(const engine::EngineOptions& options,
                                                                  const KnownAs& known) {
  if (known.network == nullptr || !options.device.is_cpu()) return nullptr;
  const io::Json key = {{"method", kMethod},
                        {"network", *known.network},
                        {"preprocessing", model::to_json(options.preprocessing)},
                        {"batch", options.batch_size},
                        {"platform", tensor::platform_text()}};
  const store::Remembered remembered(known.cache_dir, "engines");
  const auto key_of = [key](const std::string& name) {
    io::Json whole = key;
    whole["engine"] = name;
    return whole;
  };
  auto out = std::make_shared<engine::KnownDifferences>();
  out->find = [remembered, key_of](const std::string& name) -> std::optional<double> {
    const auto found = remembered.find(key_of(name));
    if (!found || !found->contains("difference") || !found->at("difference").is_number()) return std::nullopt;
    return found->at("difference").get<double>();
  };
  out->keep = [remembered, key_of](const std::string& name, double difference) {
    remembered.keep(key_of(name), io::Json{{"difference", difference}});
  };
  return out;
}

}  // namespace

void require_int8_engine(const engine::ComputeOptions& options) {
  if (options.precision == "int8" && options.engine == "torch")
    throw UsageError("--precision int8 is computed by OpenVINO; add --engine openvino or leave --engine at auto");
}

std::unique_ptr<engine::Engine> choose_engine(const std::string& wanted, const torch::jit::Module& module,
                                              engine::EngineOptions options, Reporter& reporter, const KnownAs& known) {
  options.known = known_differences(options, known);
  options.kind = engine::engine_kind_from_text(wanted);
  auto engine = engine::make_engine(module, "forward", options);
  const engine::EngineReport report = engine->report();
  const std::string note = text::cat("engine: ", report.name, difference_text(report));
  if (report.fallback.empty()) {
    reporter.note(note);
  } else {
    reporter.warn(text::cat(note, "; ", report.fallback));
  }
  return engine;
}

std::unique_ptr<engine::Engine> choose_frozen_engine(const std::string& wanted, const PrecisionTrial& trial,
                                                     const PrecisionChoice& choice, Reporter& reporter) {
  engine::EngineOptions options = trial.options;
  options.precision = choice.precision;
  options.calibration = choice.calibration;
  options.is_frozen = true;
  return choose_engine(wanted, trial.module, options, reporter, {trial.network, trial.cache_dir});
}

std::unique_ptr<engine::Engine> choose_judging_engine(const std::string& wanted, const torch::jit::Module& module,
                                                      engine::EngineOptions options, int64_t pictures,
                                                      Reporter& reporter) {
  const bool is_openvino = wanted == "openvino" || options.precision == tensor::Precision::kInt8;
  options.is_frozen = is_openvino || (options.device.is_cpu() && pictures >= kWorthFolding);
  if (is_openvino) return choose_engine("openvino", module, options, reporter);
  options.kind = engine::EngineKind::kTorch;
  return engine::make_engine(module, "forward", options);
}

io::Json to_json(const engine::EngineReport& report) {
  io::Json out = {{"name", report.name}};
  if (!report.executed.empty()) out["executed"] = report.executed;
  if (report.difference >= 0) out["difference"] = report.difference;
  if (!report.fallback.empty()) out["fallback"] = report.fallback;
  return out;
}

}  // namespace engraft::finetune
