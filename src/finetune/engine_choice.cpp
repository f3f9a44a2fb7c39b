#include "finetune/engine_choice.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace engraft::finetune {

namespace {

using engine::EngineKind;

std::string difference_text(const engine::EngineReport& report) {
  if (report.difference < 0) return "";
  return text::cat("; differs from LibTorch in f32 by ", text::fixed(100 * report.difference, 4),
                   " % of the outputs' RMS");
}

}  // namespace

EngineChoice choose_engine(const std::string& wanted, const torch::jit::Module& module, engine::EngineOptions options,
                           Reporter& reporter) {
  options.kind = engine::engine_kind_from_text(wanted);
  EngineChoice choice;
  choice.report = engine::make_engine(module, "forward", options)->report();
  choice.kind = choice.report.kind;
  const std::string note = text::cat("engine: ", choice.report.name, difference_text(choice.report));
  if (choice.report.fallback.empty() || options.device.is_cuda()) {
    reporter.note(note);
  } else {
    reporter.warn(text::cat(note, "; ", choice.report.fallback));
  }
  return choice;
}

EngineChoice choose_judging_engine(const std::string& wanted, const torch::jit::Module& module,
                                   engine::EngineOptions& options, Reporter& reporter) {
  options.is_frozen = wanted == "openvino";
  options.kind = options.is_frozen ? EngineKind::kOpenVino : EngineKind::kTorch;
  if (options.is_frozen) return choose_engine(wanted, module, options, reporter);
  EngineChoice choice;
  choice.report.name = engine::engine_name(options);
  return choice;
}

io::Json to_json(const EngineChoice& choice) {
  io::Json out = {{"name", choice.report.name}};
  if (!choice.report.executed.empty()) out["executed"] = choice.report.executed;
  if (choice.report.difference >= 0) out["difference"] = choice.report.difference;
  if (!choice.report.fallback.empty()) out["fallback"] = choice.report.fallback;
  return out;
}

}  // namespace engraft::finetune
