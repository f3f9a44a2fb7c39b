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
  ChosenEngine(std::unique_ptr<Engine> engine, EngineOptions options, EngineReport report)
      : engine_(std::move(engine)), options_(std::move(options)), report_(std::move(report)) {}

  std::string name() const override { return engine_->name(); }
  const EngineOptions& options() const override { return options_; }
  std::vector<at::Tensor> run(const uint8_t* pixels) override { return engine_->run(pixels); }
  EngineReport report() const override { return report_; }

 private:
  std::unique_ptr<Engine> engine_;
  EngineOptions options_;
  EngineReport report_;
};

std::string percent(double share) { return text::fixed(100 * share, 0) + " %"; }

/// What an earlier run found of an engine and is within the bound.
std::optional<double> known_difference(const std::string& name, const EngineOptions& options) {
  if (!options.known) return std::nullopt;
  const std::optional<double> before = options.known->find(name);
  return before && *before <= parity_bound(options.precision) ? before : std::nullopt;
}

/// Of `engine`, found now; ModelError where it is more than rounding gives.
double checked_difference(Engine& engine, const torch::jit::Module& module, const std::string& method) {
  const double bound = parity_bound(engine.options().precision);
  const auto& known = engine.options().known;
  const double difference = difference_from_torch(engine, module, method);
  if (difference <= bound) {
    if (known) known->keep(engine.name(), difference);
    return difference;
  }
  throw ModelError(text::cat("its outputs differ from LibTorch's by ", difference, " of their size; at most ", bound,
                             " is allowed"));
}

/// OpenVINO, if it does what it is asked for; else ModelError.
std::unique_ptr<Engine> checked_openvino(const torch::jit::Module& module, const std::string& method,
                                         EngineOptions options) {
  options.kind = EngineKind::kOpenVino;
  auto engine = make_openvino_engine(module, method, options);
  EngineReport report = engine->report();
  if (report.share_as_asked < kLeastShare)
    throw ModelError(text::cat("openvino: runs ", percent(report.share_as_asked), " of the layers in ",
                               tensor::to_text(options.precision), "; expected ", percent(kLeastShare)));
  try {
    // int8 is judged on pictures: it is calibrated on those of the user, which drawn ones may lie outside of.
    const bool is_judged_elsewhere = options.precision == tensor::Precision::kInt8;
    if (!options.is_compared && !is_judged_elsewhere) {
      const std::optional<double> known = known_difference(engine->name(), options);
      report.difference = known ? *known : checked_difference(*engine, module, method);
    }
  } catch (const ModelError& error) {
    throw ModelError(text::cat("openvino: ", error.what()));
  }
  options.is_compared = true;
  return std::make_unique<ChosenEngine>(std::move(engine), options, report);
}

/// LibTorch, folded or recorded if that computes the same. `fallback` says what was tried before.
std::unique_ptr<Engine> checked_torch(const torch::jit::Module& module, const std::string& method,
                                      EngineOptions options, std::string fallback) {
  options.kind = EngineKind::kTorch;
  auto engine = make_torch_engine(module, method, options);
  const bool is_compared = options.is_compared;
  EngineOptions plain = options;
  plain.is_frozen = plain.is_compared = false;
  options.is_frozen = options.is_compared = engine->name() != engine_name(plain);
  EngineReport report = engine->report();
  const auto add_fallback = [&](const std::string& reason) {
    if (!reason.empty()) fallback += (fallback.empty() ? "" : "; ") + reason;
  };
  add_fallback(report.fallback);
  if (options.is_frozen && !is_compared) {
    EngineOptions two = options;  // as many pictures as are compared
    two.batch_size = 2;
    try {
      const std::optional<double> known = known_difference(engine->name(), two);
      report.difference =
          known ? *known : checked_difference(*make_torch_engine(module, method, two), module, method);
    } catch (const ModelError& error) {
      add_fallback(text::cat(engine->name(), ": ", error.what(), "; LibTorch as it is instead"));
      options = plain;
      engine = make_torch_engine(module, method, options);
      report = engine->report();
    }
  }
  report.fallback = fallback;
  return std::make_unique<ChosenEngine>(std::move(engine), options, report);
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
  const bool is_int8 = options.precision == tensor::Precision::kInt8;
  const bool is_asked_for = options.kind == EngineKind::kOpenVino || is_int8;
  if (is_int8 && options.kind == EngineKind::kTorch)
    throw UsageError("--precision int8 is computed by OpenVINO; add --engine openvino or leave --engine at auto");
  if (is_asked_for && !options.is_frozen && !method.empty())
    throw ModelError("openvino: what it runs must not learn while it runs");
  if (is_asked_for && !options.device.is_cpu())
    throw UsageError(text::cat(is_int8 ? "--precision int8" : "--engine openvino",
                               " runs on CPUs; add --device cpu, or take ",
                               is_int8 ? "another precision" : "--engine torch"));
  if (method.empty()) return make_torch_engine(module, method, options);
  std::string fallback;
  const bool is_preferred =
      options.kind == EngineKind::kAuto && options.is_frozen && options.device.is_cpu() && has_openvino();
  if (is_asked_for || is_preferred) {
    try {
      return checked_openvino(module, method, options);
    } catch (const ModelError& error) {
      if (is_asked_for) throw;
      fallback = text::cat(error.what(), "; LibTorch instead");
    }
  }
  return checked_torch(module, method, options, fallback);
}

}  // namespace engraft::engine
