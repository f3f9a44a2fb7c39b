#include "commands/prediction_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/judge.h"
#include "io/csv.h"
#include "io/json.h"
#include "stats/classification.h"
#include "stats/multi_label.h"

namespace engraft::commands {

namespace {

struct Scored {
  std::string label;
  double score = 0;
};

std::vector<Scored> best_of(const std::vector<double>& scores, int64_t most, const std::vector<std::string>& classes) {
  std::vector<Scored> out;
  for (const int64_t k : stats::ranked(scores, most)) {
    out.push_back({classes[static_cast<size_t>(k)], scores[static_cast<size_t>(k)]});
  }
  return out;
}

io::Json json_of(const std::vector<Scored>& items) {
  io::Json out = io::Json::array();
  for (const Scored& item : items) out.push_back({{"label", item.label}, {"score", item.score}});
  return out;
}

void add_fields(const std::vector<Scored>& items, std::vector<std::string>& fields) {
  for (const Scored& item : items) {
    fields.push_back(item.label);
    fields.push_back(text::fixed(item.score, 6));
  }
}

}  // namespace

PredictionText::PredictionText(const model::Artifact& model, int64_t top, bool is_json)
    : model_(model), top_(std::min(top, static_cast<int64_t>(model.classes.size()))), is_json_(is_json) {
  if (model.target == Target::kRegression && top > 1) {
    throw UsageError(text::cat("--top ", top, ": ", model.path, " gives a number, there are no classes to rank"));
  }
}

std::string PredictionText::header() const {
  if (is_json_) return "";
  if (model_.target == Target::kRegression) return io::csv_line({"image_path", "value"});
  std::vector<std::string> names = {"image_path", "label", "score"};
  for (int64_t k = model_.target == Target::kMultiLabel ? 1 : 2; k <= top_ && top_ > 1; ++k) {
    names.push_back(text::cat("label_", k));
    names.push_back(text::cat("score_", k));
  }
  return io::csv_line(names);
}

std::string PredictionText::line(const std::string& image_path, const float* outputs, int64_t width) const {
  switch (model_.target) {
    case Target::kMultiLabel:
      return labels_line(image_path, outputs);
    case Target::kRegression:
      return is_json_ ? io::json_line({{"image_path", image_path}, {"value", outputs[0]}}) + "\n"
                      : io::csv_line({image_path, text::shortest(outputs[0])});
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  return ranked_line(image_path, outputs, width);
}

std::string PredictionText::ranked_line(const std::string& image_path, const float* logits, int64_t width) const {
  const std::vector<Scored> best = best_of(stats::scores_of(logits, width), top_, model_.classes);
  if (is_json_) {
    io::Json out = {{"image_path", image_path}, {"label", best[0].label}, {"score", best[0].score}};
    if (best.size() > 1) out["top"] = json_of(best);
    return io::json_line(out) + "\n";
  }
  std::vector<std::string> fields = {image_path};
  add_fields(best, fields);
  return io::csv_line(fields);
}

std::string PredictionText::labels_line(const std::string& image_path, const float* logits) const {
  const auto classes = static_cast<int64_t>(model_.classes.size());
  const std::vector<double> scores = stats::label_scores(logits, classes);
  const std::vector<Scored> best = best_of(scores, top_, model_.classes);
  if (is_json_) {
    std::vector<Scored> labels;
    for (const int64_t k : stats::predicted_labels(logits, classes)) {
      labels.push_back({model_.classes[static_cast<size_t>(k)], scores[static_cast<size_t>(k)]});
    }
    io::Json out = {{"image_path", image_path}, {"labels", json_of(labels)}};
    if (top_ > 1) out["top"] = json_of(best);
    return io::json_line(out) + "\n";
  }
  const finetune::LabelsText said = finetune::labels_text(logits, model_.classes);
  std::vector<std::string> fields = {image_path, said.labels, said.scores};
  if (top_ > 1) add_fields(best, fields);
  return io::csv_line(fields);
}

}  // namespace engraft::commands
