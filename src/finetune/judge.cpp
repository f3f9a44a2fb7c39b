#include "finetune/judge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "finetune/engine_choice.h"
#include "io/csv.h"
#include "io/digest.h"
#include "stats/classification.h"
#include "stats/multi_label.h"

namespace engraft::finetune {

JudgingEngine make_judging_engine(const model::Artifact& model, const data::Listing& listing,
                                  const std::vector<int64_t>& rows, const engine::ComputeOptions& compute,
                                  engine::EngineOptions options, Reporter& reporter) {
  require_int8_engine(compute);
  PrecisionTrial trial{model.module, listing, rows, options, compute.loader_threads};
  trial.decides = model.target;
  trial.scale = model.scale;
  io::Json named;
  if (compute.precision == "bf16" || compute.precision == "int8") {  // what is tried is remembered
    named = {{"sha256", io::sha256_of_file(model.path)}, {"taps", io::Json::array()}};
    trial.network = &named;
  }
  JudgingEngine made;
  made.precision = choose_judging_precision(compute.precision, trial, reporter);
  options.precision = made.precision.precision;
  options.calibration = made.precision.calibration;
  made.engine =
      choose_judging_engine(compute.engine, model.module, options, static_cast<int64_t>(rows.size()), reporter);
  return made;
}

Judged judge(const model::Artifact& model, const data::Listing& listing, const std::vector<int64_t>& rows,
             engine::Engine& engine, const PassOptions& pass, Reporter& reporter) {
  Judged out;
  out.target = model.target;
  out.scale = model.scale;
  out.bad = forward_pass(
      listing, rows, engine, pass,
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        const at::Tensor logits = outputs.front().to(at::kCPU, at::kFloat).contiguous();  // [B, K]
        out.width = logits.size(1);
        out.rows.insert(out.rows.end(), good.begin(), good.end());
        const float* values = logits.const_data_ptr<float>();
        out.logits.insert(out.logits.end(), values, values + logits.numel());
      },
      reporter);
  return out;
}

stats::Answers answers_of(const data::Listing& listing, const Judged& judged) {
  stats::Answers answers;
  answers.target = judged.target;
  answers.outputs = judged.logits;
  answers.width = std::max<int64_t>(judged.width, 1);
  answers.scale = judged.scale;
  if (judged.target == Target::kMultiLabel) {
    answers.values.resize(judged.rows.size() * static_cast<size_t>(answers.width), 0);
  }
  for (size_t i = 0; i < judged.rows.size(); ++i) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(judged.rows[i])];
    for (const int64_t label : sample.labels) {
      answers.values[i * static_cast<size_t>(answers.width) + static_cast<size_t>(label)] = 1;
    }
    if (judged.target == Target::kRegression) answers.values.push_back(sample.value);
    answers.labels.push_back(sample.label);
  }
  return answers;
}

io::Json to_json(const stats::Judgement& result) {
  io::Json out = {{"rows", result.rows}};
  for (const stats::Metric& metric : result.metrics) out[metric.name] = metric.value;
  if (result.top5) out["top5"] = *result.top5;
  out["loss"] = result.loss;
  return out;
}

std::string figures_text(const io::Json& record) {
  std::vector<std::string> parts;
  for (const std::string& name : stats::metric_names()) {
    if (record.contains(name)) parts.push_back(stats::metric_text(name, record.at(name).get<double>()));
  }
  parts.push_back("loss " + text::fixed(record.at("loss").get<double>(), 4));
  return text::join(parts, ", ");
}

LabelsText labels_text(const float* logits, const std::vector<std::string>& classes) {
  const std::vector<double> scores = stats::label_scores(logits, static_cast<int64_t>(classes.size()));
  std::vector<std::string> labels, texts;
  for (const int64_t k : stats::predicted_labels(logits, static_cast<int64_t>(classes.size()))) {
    labels.push_back(classes[static_cast<size_t>(k)]);
    texts.push_back(text::fixed(scores[static_cast<size_t>(k)], 6));
  }
  const std::string separator(1, kLabelSeparator);
  return {text::join(labels, separator), text::join(texts, separator)};
}

std::string predictions_csv(const data::Listing& listing, const Judged& judged,
                            const std::vector<std::string>& classes) {
  const bool is_number = judged.target == Target::kRegression;
  std::vector<std::string> columns = {"image_path", "label", "score", "true_label"};
  if (is_number) columns = {"image_path", "value", "true_value"};
  const size_t own = columns.size();
  for (const std::string& slice : listing.slice_names) {
    const bool is_taken = std::find(columns.begin(), columns.begin() + own, slice) != columns.begin() + own;
    columns.push_back(is_taken ? "slice_" + slice : slice);
  }
  std::string out = io::csv_line(columns);
  for (size_t i = 0; i < judged.rows.size(); ++i) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(judged.rows[i])];
    const float* outputs = judged.logits.data() + static_cast<int64_t>(i) * judged.width;
    std::vector<std::string> fields;
    if (is_number) {
      fields = {sample.image_path, text::shortest(outputs[0]), sample.label_name};
    } else if (judged.target == Target::kMultiLabel) {
      const LabelsText said = labels_text(outputs, classes);
      fields = {sample.image_path, said.labels, said.scores, sample.label_name};
    } else {
      const std::vector<double> scores = stats::scores_of(outputs, judged.width);
      const size_t best = static_cast<size_t>(stats::ranked(scores, 1).front());
      fields = {sample.image_path, classes[best], text::fixed(scores[best], 6), sample.label_name};
    }
    fields.insert(fields.end(), sample.slices.begin(), sample.slices.end());
    out += io::csv_line(fields);
  }
  return out;
}

std::string skipped_csv(const std::vector<BadPicture>& bad) {
  std::string out = io::csv_line({"image_path", "reason"});
  for (const BadPicture& picture : bad) out += io::csv_line({picture.image_path, picture.reason});
  return out;
}

}  // namespace engraft::finetune
