#include "finetune/int8_choice.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/calibrate.h"
#include "finetune/forward_pass.h"
#include "finetune/int8_decisions.h"
#include "finetune/int8_probe.h"
#include "model/preprocessing_source.h"
#include "store/remembered.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

/// Counts up where calibrating, judging or the places that are rounded (engine/quantisation.cpp) change, so that
/// nothing older is taken for it.
constexpr int kMethod = 2;

/// Two engines of one network by turns on the same pictures: the outputs of the first, then those of the second. They
/// never run at once, which would slow both.
class PairEngine : public engine::Engine {
 public:
  PairEngine(engine::Engine& first, engine::Engine& second) : first_(first), second_(second) {}
  std::string name() const override { return first_.name() + ", " + second_.name(); }
  const engine::EngineOptions& options() const override { return first_.options(); }
  std::vector<at::Tensor> run(const uint8_t* pixels) override {
    std::vector<at::Tensor> outputs = first_.run(pixels);
    for (at::Tensor& output : second_.run(pixels)) outputs.push_back(std::move(output));
    return outputs;
  }

 private:
  engine::Engine &first_, &second_;
};

/// Rows of one output in both precisions, as they are met.
struct Compared {
  std::vector<at::Tensor> cosines, f32, int8;  // [B] and [B, D]
  int64_t numbers = 0;                         // of a row
};

/// [B, D] of an output of any shape: 4-D ones by their averages.
at::Tensor probe_rows(const at::Tensor& output) {
  return model::pooled(output, model::Pool::kAverage).flatten(1).clone();
}

int64_t label_of(const PrecisionTrial& trial, int64_t item) {
  return trial.listing.samples[static_cast<size_t>(trial.views.row_of(item))].label;
}

/// What is wrong with int8 by what was found of one output of so many numbers a picture; empty where nothing is.
std::string objection(const Int8Verdict& verdict, int64_t numbers) {
  if (verdict.decisions) return objection(*verdict.decisions);
  const bool is_told = verdict.probe && is_above_chance(*verdict.probe);
  if (is_told && verdict.mean_cosine >= kLeastProbedCosine && std::isfinite(verdict.least_cosine)) {
    const Int8Verdict::Probe& probe = *verdict.probe;
    const auto most = std::max<int64_t>(1, static_cast<int64_t>(kMostProbeLoss * static_cast<double>(probe.pictures)));
    if (probe.f32_right - probe.int8_right <= most) return "";
    return text::cat(verdict_text(verdict), "; at most ", most, " fewer ", most == 1 ? "is" : "are", " allowed");
  }
  if (numbers == 1) return "a picture gives one number, of which a cosine says nothing, and no probe tells it";
  if (verdict.mean_cosine >= kLeastMeanCosine && verdict.least_cosine >= kLeastEachCosine) return "";
  return text::cat(verdict_text(verdict), "; at least ", text::shortest(kLeastMeanCosine), " and ",
                   text::shortest(kLeastEachCosine), " are asked for",
                   verdict.probe && !is_told ? ", since a probe tells the labels hardly better than chance" : "");
}

/// The verdict over all outputs, the worst of each figure, and why int8 does not do for the first for which it does
/// not.
std::pair<Int8Verdict, std::string> judge_int8(const PrecisionTrial& trial, const std::vector<int64_t>& items,
                                               engine::Engine& f32, engine::Engine& int8, Reporter& reporter) {
  const bool is_probed =
      !trial.decides && trial.listing.classes.size() > 1 &&
      std::any_of(items.begin(), items.end(), [&](int64_t item) { return label_of(trial, item) >= 0; });
  PairEngine pair(f32, int8);
  std::vector<Compared> compared;
  std::vector<int64_t> labels;
  const auto take = [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
    const size_t count = outputs.size() / 2;
    compared.resize(count);
    for (const int64_t item : good) labels.push_back(label_of(trial, item));
    for (size_t i = 0; i < count; ++i) {
      const at::Tensor &a = outputs[i], &b = outputs[count + i];
      const at::Tensor row = model::pooled(a, trial.pool);
      compared[i].numbers = row.numel() / row.size(0);
      compared[i].cosines.push_back(row_cosines(row, model::pooled(b, trial.pool)));
      if (!is_probed && !trial.decides) continue;
      compared[i].f32.push_back(probe_rows(a));
      compared[i].int8.push_back(probe_rows(b));
    }
  };
  forward_pass(trial.listing, items, pair, {trial.loader_threads, "judging int8", trial.views}, take, reporter);
  Int8Verdict worst;
  worst.judged = static_cast<int64_t>(labels.size());
  std::string refusal;
  if (worst.judged == 0) refusal = "no readable picture is left to judge it by";
  const auto rank = [](const Int8Verdict::Probe& p) {
    return std::make_pair(is_above_chance(p), p.f32_right - p.int8_right);
  };
  for (const Compared& output : compared) {
    const at::Tensor cosines = at::cat(output.cosines);
    Int8Verdict verdict;
    verdict.judged = worst.judged;
    verdict.mean_cosine = cosines.mean().item<double>();
    verdict.least_cosine = cosines.min().item<double>();
    if (is_probed && std::isfinite(verdict.mean_cosine))
      verdict.probe = probe_both(at::cat(output.f32), at::cat(output.int8), labels);
    if (trial.decides)
      verdict.decisions = decide_both(at::cat(output.f32), at::cat(output.int8), labels, *trial.decides, trial.scale);
    if (refusal.empty()) refusal = objection(verdict, output.numbers);
    if (verdict.decisions) worst.decisions = verdict.decisions;  // of a model's one output
    worst.mean_cosine = lesser(worst.mean_cosine, verdict.mean_cosine);
    worst.least_cosine = lesser(worst.least_cosine, verdict.least_cosine);
    if (verdict.probe && (!worst.probe || rank(*verdict.probe) > rank(*worst.probe))) worst.probe = verdict.probe;
  }
  return {worst, refusal};
}

/// Finds out what is to be known of it.
PrecisionChoice try_int8(const PrecisionTrial& trial, Reporter& reporter) {
  PrecisionChoice choice;
  const Int8Items items = split_for_int8(trial);
  try {
    const Calibrated calibrated = calibrate(trial, items.calibrated, reporter);
    engine::EngineOptions options = trial.options;
    options.is_frozen = true;
    const auto f32 = engine::make_engine(trial.module, "forward", options);
    options.precision = tensor::Precision::kInt8;
    options.calibration = calibrated.calibration;
    const auto int8 = engine::make_engine(trial.module, "forward", options);
    std::tie(choice.int8, choice.int8_refusal) = judge_int8(trial, items.judged, *f32, *int8, reporter);
    choice.int8->calibrated = calibrated.pictures;
    if (!choice.int8_refusal.empty()) return choice;
    choice.precision = tensor::Precision::kInt8;
    choice.calibration = calibrated.calibration;
  } catch (const ModelError& error) {
    choice.int8_refusal = error.what();
  }
  return choice;
}

/// All that a finding depends on: the network, how pictures reach it, which pictures, and what runs it.
io::Json key_of(const PrecisionTrial& trial) {
  const Int8Items items = split_for_int8(trial);
  data::Listing used;
  used.classes = trial.listing.classes;
  used.slice_names = trial.listing.slice_names;
  for (const auto* part : {&items.calibrated, &items.judged}) {
    for (const int64_t item : *part)
      used.samples.push_back(trial.listing.samples[static_cast<size_t>(trial.views.row_of(item))]);
  }
  io::Json key = {{"method", kMethod},
                  {"network", *trial.network},
                  {"preprocessing", model::to_json(trial.options.preprocessing)},
                  {"pool", model::to_text(trial.pool)},
                  {"batch", trial.options.batch_size},
                  {"engine", engine::openvino_version()},
                  {"platform", tensor::platform_text()},
                  {"unit", tensor::int8_unit()},
                  {"pictures", data::data_digest(used)}};
  if (trial.decides) key["decides"] = to_text(*trial.decides);
  if (trial.views.is_random()) {
    key["views"] = {{"augmentation", image::to_text(trial.views.augmentation)},
                    {"seed", trial.views.seed},
                    {"calibrated", items.calibrated},
                    {"judged", items.judged}};
  }
  return key;
}

Int8Verdict verdict_from_json(const io::Json& json) {
  const auto count = [](const io::Json& object, const char* key) { return object.at(key).get<int64_t>(); };
  const auto number = [&](const char* key) {
    return json.at(key).is_null() ? std::nan("") : json.at(key).get<double>();
  };
  Int8Verdict verdict;
  verdict.calibrated = count(json, "calibrated");
  verdict.judged = count(json, "judged");
  verdict.mean_cosine = number("mean_cosine");
  verdict.least_cosine = number("least_cosine");
  if (json.contains("probe")) {
    const io::Json& probe = json["probe"];
    verdict.probe = {count(probe, "pictures"),  count(probe, "f32_right"),  count(probe, "int8_right"),
                     count(probe, "f32_alone"), count(probe, "int8_alone"), count(probe, "most_frequent")};
  }
  if (json.contains("decisions")) {
    const io::Json& found = json["decisions"];
    verdict.decisions = {count(found, "pictures"), count(found, "differing"), count(found, "labelled"),
                         count(found, "f32_right"), count(found, "int8_right")};
  }
  return verdict;
}

}  // namespace

PrecisionChoice choose_int8(const PrecisionTrial& trial, Reporter& reporter) {
  if (!trial.options.device.is_cpu())
    throw UsageError("--precision int8 runs on CPUs; add --device cpu, or take another precision");
  if (trial.network == nullptr) return try_int8(trial, reporter);
  const store::Remembered remembered(trial.cache_dir, "int8");
  const io::Json key = key_of(trial);
  if (const auto known = remembered.find(key)) {
    if (auto choice = choice_from_finding(*known)) return *choice;
  }
  PrecisionChoice choice = try_int8(trial, reporter);
  if (choice.int8) remembered.keep(key, finding_json(choice));
  return choice;
}

PrecisionChoice instead_of(const PrecisionChoice& int8, PrecisionChoice other) {
  other.int8 = int8.int8;
  other.int8_refusal = int8.int8_refusal;
  return other;
}

io::Json to_json(const Int8Verdict& verdict) {
  const auto number = [](double value) { return std::isfinite(value) ? io::Json(value) : io::Json(); };
  io::Json json = {{"calibrated", verdict.calibrated},
                   {"judged", verdict.judged},
                   {"mean_cosine", number(verdict.mean_cosine)},
                   {"least_cosine", number(verdict.least_cosine)}};
  if (verdict.probe) {
    const Int8Verdict::Probe& probe = *verdict.probe;
    json["probe"] = {{"pictures", probe.pictures},     {"f32_right", probe.f32_right},
                     {"int8_right", probe.int8_right}, {"f32_alone", probe.f32_alone},
                     {"int8_alone", probe.int8_alone}, {"most_frequent", probe.most_frequent}};
  }
  if (verdict.decisions) {
    const Int8Verdict::Decisions& decisions = *verdict.decisions;
    json["decisions"] = {{"pictures", decisions.pictures},
                         {"differing", decisions.differing},
                         {"labelled", decisions.labelled},
                         {"f32_right", decisions.f32_right},
                         {"int8_right", decisions.int8_right}};
  }
  return json;
}

io::Json finding_json(const PrecisionChoice& choice) {
  io::Json json = {{"method", kMethod}};
  if (choice.int8) json["verdict"] = to_json(*choice.int8);
  if (choice.int8_refusal.empty()) {
    json["calibration"] = to_json(*choice.calibration);
  } else {
    json["refusal"] = choice.int8_refusal;
  }
  return json;
}

std::optional<PrecisionChoice> choice_from_finding(const io::Json& finding) {
  PrecisionChoice choice;
  try {
    if (finding.at("method") != kMethod) return std::nullopt;
    choice.int8_refusal = finding.value("refusal", "");
    const bool is_refused = !choice.int8_refusal.empty();
    if (!is_refused || finding.contains("verdict")) choice.int8 = verdict_from_json(finding.at("verdict"));
    if (is_refused) return choice;
    choice.precision = tensor::Precision::kInt8;
    choice.calibration = calibration_from_json(finding.at("calibration"), "int8");
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const DataError&) {
    return std::nullopt;
  }
  return choice;
}

std::string verdict_text(const Int8Verdict& verdict) {
  std::string out = text::cat("on ", text::count_of(verdict.judged, "picture"), " cosine to f32 ",
                              text::fixed(verdict.mean_cosine, 5), ", least ", text::fixed(verdict.least_cosine, 5));
  if (verdict.probe)
    out += text::cat("; a probe tells ", verdict.probe->int8_right, " of ", verdict.probe->pictures, ", on f32 ",
                     verdict.probe->f32_right);
  if (verdict.decisions) out += "; " + decisions_text(*verdict.decisions);
  return out;
}

}  // namespace engraft::finetune
