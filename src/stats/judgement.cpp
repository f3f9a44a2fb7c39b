#include "stats/judgement.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "stats/classification.h"
#include "stats/multi_label.h"
#include "stats/regression.h"

namespace engraft::stats {

namespace {

Judgement judgement_of(const Classification& result) {
  return {result.rows, result.loss, result.top1, {{"top1", result.top1}}, result.top5};
}

Judgement judgement_of(const MultiLabel& result) {
  const double precision = result.mean_average_precision;
  return {result.rows,
          result.loss,
          precision,
          {{"mean_average_precision", precision}, {"micro_f1", result.micro_f1}, {"exact_match", result.exact_match}},
          std::nullopt};
}

Judgement judgement_of(const Regression& result, const TargetScale& scale) {
  const double error = result.root_mean_squared_error / scale.std;
  Judgement out{result.rows,
                error * error,
                /*merit=*/0,
                {{"mae", result.mean_absolute_error}, {"rmse", result.root_mean_squared_error}},
                std::nullopt};
  if (result.r2) out.metrics.push_back({"r2", *result.r2});
  return out;
}

/// Four significant digits, without an exponent where that is short.
std::string four_digits(double value) {
  if (value == 0 || !std::isfinite(value)) return text::shortest(value);
  const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
  return magnitude < -9 ? text::shortest(static_cast<float>(value)) : text::fixed(value, std::max(0, 3 - magnitude));
}

}  // namespace

Judgement judge(const Answers& answers) {
  switch (answers.target) {
    case Target::kMultiLabel:
      return judgement_of(judge_labels(answers.outputs, answers.width, answers.values));
    case Target::kRegression:
      return judgement_of(judge_numbers(answers.outputs, answers.values), answers.scale);
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  return judgement_of(classify(answers.outputs, answers.width, answers.labels));
}

std::string row_metric(Target target) { return target == Target::kRegression ? "mae" : counted_name(target); }

std::vector<double> row_values(const Answers& answers) {
  const auto width = static_cast<size_t>(answers.width);
  std::vector<double> values;
  for (size_t i = 0; i * width < answers.outputs.size(); ++i) {
    const float* outputs = answers.outputs.data() + i * width;
    if (answers.target == Target::kRegression) {
      values.push_back(std::abs(static_cast<double>(outputs[0]) - answers.values[i]));
    } else if (answers.target == Target::kMultiLabel) {
      const double* holds = answers.values.data() + i * width;
      std::vector<int64_t> wanted;
      for (size_t k = 0; k < width; ++k) {
        if (holds[k] > 0) wanted.push_back(static_cast<int64_t>(k));
      }
      values.push_back(predicted_labels(outputs, answers.width) == wanted ? 1 : 0);
    } else {
      values.push_back(ranked(scores_of(outputs, answers.width), 1).front() == answers.labels[i] ? 1 : 0);
    }
  }
  return values;
}

std::string counted_name(Target target) {
  switch (target) {
    case Target::kMultiLabel:
      return "exact_match";
    case Target::kRegression:
      return "";
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  return "top1";
}

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = {
      "top1", "mean_average_precision", "micro_f1", "exact_match", "mae", "rmse", "r2"};
  return names;
}

bool is_higher_better(const std::string& name) { return name != "mae" && name != "rmse"; }

std::string merit_name(Target target) {
  switch (target) {
    case Target::kMultiLabel:
      return "mean_average_precision";
    case Target::kRegression:
      return "";
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  return "top1";
}

std::string value_text(const std::string& name, double value) {
  const bool is_share = name != "mae" && name != "rmse" && name != "r2";
  return is_share ? text::fixed(100 * value, 2) + " %" : four_digits(value);
}

std::string title_of(const std::string& name) {
  if (name == "mean_average_precision") return "mAP";
  if (name == "micro_f1") return "micro-F1";
  return name == "exact_match" ? "exact match" : name;
}

std::string metric_text(const std::string& name, double value) {
  return title_of(name) + " " + value_text(name, value);
}

std::string metrics_text(const std::vector<Metric>& metrics) {
  std::vector<std::string> parts;
  for (const Metric& metric : metrics) parts.push_back(metric_text(metric.name, metric.value));
  return text::join(parts, ", ");
}

}  // namespace engraft::stats
