#include "base/errors.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/parity.h"

namespace engraft::engine {

namespace {

/// The least share of the arithmetic layers that must run in the precision asked for.
constexpr double kLeastShare = 0.9;

/// An engine with what was found out before it was chosen.
class ChosenEngine : public Engine {
 public:
  ChosenEngine(std::unique_ptr<Engine> engine, EngineReport report)
      : engine_(std::move(engine)), report_(std::move(report)) {}

  std::string name() const override { return engine_->name(); }
  const EngineOptions& options() const override { return engine_->options(); }
  std::vector<at::Tensor> run(const uint8_t* pixels) override { return engine_->run(pixels); }
  EngineReport report() const override { return report_; }

 private:
  std::unique_ptr<Engine> engine_;
  EngineReport report_;
};

std::string percent(double share) { return text::fixed(100 * share, 0) + " %"; }

/// OpenVINO, if it does what it is asked for; else ModelError.
std::unique_ptr<Engine> checked_openvino(const torch::jit::Module& module, const std::string& method,
                                         const EngineOptions& options) {
  auto engine = make_openvino_engine(module, method, options);
  EngineReport report = engine->report();
  if (report.share_as_asked < kLeastShare)
    throw ModelError(text::cat("openvino: runs ", percent(report.share_as_asked), " of the layers in ",
                               tensor::to_text(options.precision), "; expected ", percent(kLeastShare)));
  report.difference = difference_from_torch(*engine, module, method);
  const double bound = parity_bound(options.precision);
  if (!(report.difference <= bound))
    throw ModelError(text::cat("openvino: its outputs differ from LibTorch's by ", report.difference,
                               " of their size; at most ", bound, " is allowed"));
  return std::make_unique<ChosenEngine>(std::move(engine), report);
}

}  // namespace

std::string to_text(EngineKind kind) {
  if (kind == EngineKind::kAuto) return "auto";
  return kind == EngineKind::kTorch ? "torch" : "openvino";
}

EngineKind engine_kind_from_text(const std::string& text) {
  for (const EngineKind kind : {EngineKind::kAuto, EngineKind::kTorch, EngineKind::kOpenVino})
    if (text == to_text(kind)) return kind;
  throw UsageError("--engine: must be auto, torch or openvino, not '" + text + "'");
}

std::unique_ptr<Engine> make_engine(const torch::jit::Module& module, const std::string& method,
                                    const EngineOptions& options) {
  const bool is_asked_for = options.kind == EngineKind::kOpenVino;
  if (is_asked_for && !options.is_frozen && !method.empty())
    throw ModelError("openvino: what it runs must not learn while it runs");
  if (is_asked_for && !options.device.is_cpu())
    throw UsageError("--engine openvino runs on CPUs; add --device cpu, or take --engine torch");
  const bool may_be_openvino = is_asked_for || (options.kind == EngineKind::kAuto && options.is_frozen);
  if (!may_be_openvino || !options.device.is_cpu() || method.empty()) return make_torch_engine(module, method, options);
  std::string reason;
  try {
    return checked_openvino(module, method, options);
  } catch (const ModelError& error) {
    if (is_asked_for) throw;
    reason = error.what();
  }
  auto engine = make_torch_engine(module, method, options);
  EngineReport report = engine->report();
  report.fallback = reason + "; LibTorch instead";
  return std::make_unique<ChosenEngine>(std::move(engine), report);
}

}  // namespace engraft::engine
