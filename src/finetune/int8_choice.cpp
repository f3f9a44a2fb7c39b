#include "finetune/int8_choice.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/calibrate.h"
#include "finetune/forward_pass.h"
#include "model/preprocessing_source.h"
#include "store/remembered.h"
#include "tensor/device.h"
#include "train/ridge.h"

namespace engraft::finetune {

namespace {

/// Counts up where calibrating or judging changes, so that nothing older is taken for it.
constexpr int kMethod = 1;

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
};

/// [B, D] of an output of any shape: 4-D ones by their averages.
at::Tensor probe_rows(const at::Tensor& output) { return model::pooled(output, model::Pool::kAverage).flatten(1); }

/// How many of `rows` are told right by ridge regression on the other half of them, every second.
int64_t count_right(const at::Tensor& rows, const std::vector<int64_t>& labels) {
  int64_t right = 0;
  for (const int64_t half : {0, 1}) {
    std::vector<int64_t> known, asked;
    for (int64_t i = 0; i < rows.size(0); ++i) (i % 2 == half ? known : asked).push_back(i);
    if (known.empty() || asked.empty()) continue;
    std::vector<int64_t> known_labels;
    for (const int64_t i : known) known_labels.push_back(labels[static_cast<size_t>(i)]);
    const auto told = train::ridge_classes(rows.index_select(0, at::tensor(known)), known_labels,
                                           rows.index_select(0, at::tensor(asked)));
    for (size_t i = 0; i < asked.size(); ++i) right += told[i] == labels[static_cast<size_t>(asked[i])] ? 1 : 0;
  }
  return right;
}

/// Of the rows that have a label.
void probe(const Compared& output, const std::vector<int64_t>& labels, Int8Verdict& verdict) {
  std::vector<int64_t> places, known;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    places.push_back(static_cast<int64_t>(i));
    known.push_back(labels[i]);
  }
  if (places.size() < 2 || std::all_of(known.begin(), known.end(), [&](int64_t k) { return k == known.front(); }))
    return;
  const at::Tensor chosen = at::tensor(places);
  Int8Verdict::Probe found{static_cast<int64_t>(places.size()),
                           count_right(at::cat(output.f32).index_select(0, chosen), known),
                           count_right(at::cat(output.int8).index_select(0, chosen), known)};
  const auto lost = [](const Int8Verdict::Probe& p) { return p.f32_right - p.int8_right; };
  if (!verdict.probe || lost(found) > lost(*verdict.probe)) verdict.probe = found;
}

bool has_labels(const data::Listing& listing, const std::vector<int64_t>& rows) {
  return listing.classes.size() > 1 && std::any_of(rows.begin(), rows.end(), [&](int64_t row) {
           return listing.samples[static_cast<size_t>(row)].label >= 0;
         });
}

Int8Verdict judge_int8(const PrecisionTrial& trial, const std::vector<int64_t>& rows, engine::Engine& f32,
                       engine::Engine& int8, Reporter& reporter) {
  const bool is_probed = has_labels(trial.listing, rows);
  PairEngine pair(f32, int8);
  std::vector<Compared> compared;
  std::vector<int64_t> labels;
  const auto take = [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
    const size_t count = outputs.size() / 2;
    compared.resize(count);
    for (const int64_t row : good) labels.push_back(trial.listing.samples[static_cast<size_t>(row)].label);
    for (size_t i = 0; i < count; ++i) {
      const at::Tensor &a = outputs[count + i], &b = outputs[i];
      compared[i].cosines.push_back(row_cosines(model::pooled(a, trial.pool), model::pooled(b, trial.pool)));
      if (!is_probed) continue;
      compared[i].f32.push_back(probe_rows(b).clone());
      compared[i].int8.push_back(probe_rows(a).clone());
    }
  };
  forward_pass(trial.listing, rows, pair, {trial.loader_threads, "judging int8"}, take, reporter);
  Int8Verdict verdict;
  verdict.judged = static_cast<int64_t>(labels.size());
  for (const Compared& output : compared) {
    const at::Tensor cosines = at::cat(output.cosines);
    const double mean = cosines.mean().item<double>(), least = cosines.min().item<double>();
    if (!(mean >= verdict.mean_cosine)) verdict.mean_cosine = mean;
    if (!(least >= verdict.least_cosine)) verdict.least_cosine = least;
    if (is_probed) probe(output, labels, verdict);
  }
  return verdict;
}

/// What is wrong with it; empty where nothing is.
std::string objection(const Int8Verdict& verdict) {
  if (verdict.judged == 0) return "no readable picture is left to judge it by";
  if (verdict.probe) {
    const double lost = static_cast<double>(verdict.probe->f32_right - verdict.probe->int8_right);
    const double most = std::max(1.0, kMostProbeLoss * static_cast<double>(verdict.probe->pictures));
    if (lost <= most) return "";
    return text::cat(verdict_text(verdict), "; at most ", text::fixed(most, 0), " fewer are allowed");
  }
  if (verdict.mean_cosine >= kLeastMeanCosine && verdict.least_cosine >= kLeastEachCosine) return "";
  return text::cat(verdict_text(verdict), "; at least ", text::shortest(kLeastMeanCosine), " and ",
                   text::shortest(kLeastEachCosine), " are asked for");
}

/// Finds out what is to be known of it.
PrecisionChoice try_int8(const PrecisionTrial& trial, Reporter& reporter) {
  PrecisionChoice choice;
  const Int8Rows rows = split_for_int8(trial.rows);
  try {
    choice.calibration = calibrate(trial, rows.calibrated, reporter);
    engine::EngineOptions options = trial.options;
    options.is_frozen = true;
    const auto f32 = engine::make_engine(trial.module, "forward", options);
    options.precision = tensor::Precision::kInt8;
    options.calibration = choice.calibration;
    const auto int8 = engine::make_engine(trial.module, "forward", options);
    choice.int8 = judge_int8(trial, rows.judged, *f32, *int8, reporter);
    choice.int8->calibrated = static_cast<int64_t>(rows.calibrated.size());
    choice.fallback = objection(*choice.int8);
  } catch (const ModelError& error) {
    choice.fallback = error.what();
  }
  if (choice.fallback.empty()) {
    choice.precision = tensor::Precision::kInt8;
  } else {
    choice.calibration = nullptr;
  }
  return choice;
}

/// All that a finding depends on: the network, how pictures reach it, which pictures, and what runs it.
io::Json key_of(const PrecisionTrial& trial) {
  const Int8Rows rows = split_for_int8(trial.rows);
  data::Listing used = trial.listing;
  used.samples.clear();
  for (const auto* part : {&rows.calibrated, &rows.judged})
    for (const int64_t row : *part) used.samples.push_back(trial.listing.samples[static_cast<size_t>(row)]);
  return {{"method", kMethod},
          {"network", *trial.network},
          {"preprocessing", model::to_json(trial.options.preprocessing)},
          {"pool", model::to_text(trial.pool)},
          {"batch", trial.options.batch_size},
          {"engine", engine::openvino_version()},
          {"platform", tensor::platform_text()},
          {"pictures", data::data_digest(used)}};
}

io::Json to_json(const PrecisionChoice& choice) {
  io::Json json;
  add_to(json, choice);
  if (choice.calibration != nullptr) json["calibration"] = finetune::to_json(*choice.calibration);
  return json;
}

/// The reverse; none where the text is not one of to_json().
std::optional<PrecisionChoice> choice_from_json(const io::Json& json) {
  PrecisionChoice choice;
  try {
    choice.fallback = json.value("precision_fallback", "");
    if (json.contains("int8")) choice.int8 = int8_from_json(json["int8"]);
    if (choice.fallback.empty()) {
      choice.precision = tensor::Precision::kInt8;
      choice.calibration = calibration_from_json(json.at("calibration"), "int8");
    }
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const DataError&) {
    return std::nullopt;
  }
  return choice;
}

}  // namespace

PrecisionChoice choose_int8(const PrecisionTrial& trial, Reporter& reporter) {
  if (!trial.options.device.is_cpu())
    throw UsageError("--precision int8 runs on CPUs; add --device cpu, or take another precision");
  const store::Remembered remembered(trial.cache_dir, "int8");
  const io::Json key = key_of(trial);
  if (const auto known = remembered.find(key)) {
    if (auto choice = choice_from_json(*known)) return *choice;
  }
  PrecisionChoice choice = try_int8(trial, reporter);
  if (choice.int8) remembered.keep(key, to_json(choice));
  return choice;
}

PrecisionChoice int8_as_begun(std::shared_ptr<const engine::Calibration> calibration) {
  PrecisionChoice choice;
  choice.precision = tensor::Precision::kInt8;
  choice.calibration = std::move(calibration);
  return choice;
}

std::string verdict_text(const Int8Verdict& verdict) {
  std::string out = text::cat("on ", text::count_of(verdict.judged, "picture"), " cosine to f32 ",
                              text::fixed(verdict.mean_cosine, 5), ", least ", text::fixed(verdict.least_cosine, 5));
  if (verdict.probe)
    out += text::cat("; a probe tells ", verdict.probe->int8_right, " of ", verdict.probe->pictures, ", on f32 ",
                     verdict.probe->f32_right);
  return out;
}

}  // namespace engraft::finetune
