#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/target.h"

namespace engraft::stats {

/// What a network gave for N rows, and what is true of them.
struct Answers {
  Target target = Target::kSoftmax;
  /// [N, width] row by row: logits; in regression numbers in the units of the labels.
  std::vector<float> outputs;
  int64_t width = 0;
  /// [N] in 0 … K-1, where one class holds.
  std::vector<int64_t> labels;
  /// Multi-label: [N, width] of 0 and 1. Regression: [N].
  std::vector<double> values;
  /// Of regression.
  TargetScale scale;
};

struct Metric {
  /// As in result.json and, behind "val_", in metrics.jsonl.
  std::string name;
  double value = 0;
};

/// How near answers come to the truth, the same questions for every target.
struct Judgement {
  int64_t rows = 0;
  /// The loss that training lowers, plain: cross-entropy in nats (multi-label: mean over rows and classes), in
  /// regression the mean squared error in units of the scale's std².
  double loss = 0;
  /// What says before the loss which of two is better, the higher the better: top1, or the mean average precision. 0 in
  /// regression, where the loss alone says it.
  double merit = 0;
  /// softmax, sigmoid: top1. Multi-label: mean_average_precision, micro_f1, exact_match. Regression: mae, rmse, and r2
  /// where the labels differ from each other. The first is the one to name where there is room for one.
  std::vector<Metric> metrics;
  /// As Classification has it.
  std::optional<double> top5;
};

Judgement judge(const Answers& answers);

/// What row_values() are values of, by their mean: top1, exact_match or mae.
std::string row_metric(Target target);

/// [N]: 1 where the row is right (multi-label: wholly) and 0 where not; in regression how far off it is.
std::vector<double> row_values(const Answers& answers);

/// What is counted of training batches as they pass, as metrics.jsonl names it behind "train_": the share of rows that
/// are wholly right. "" in regression, where nothing is counted.
std::string counted_name(Target target);

/// The metric that Judgement::merit is; "" in regression.
std::string merit_name(Target target);

/// Whether more of a metric is better; of mae and rmse less is.
bool is_higher_better(const std::string& name);

/// For a person: "top1", "mAP".
std::string title_of(const std::string& name);
/// For a person: "97.25 %", "3.214".
std::string value_text(const std::string& name, double value);
/// The same with what it is: "top1 97.25 %", "mAP 81.20 %", "mae 3.214". `name` is one of Judgement's, or top5.
std::string metric_text(const std::string& name, double value);
/// The same of each, commas between them.
std::string metrics_text(const std::vector<Metric>& metrics);
/// All names that Judgement::metrics can have, in their order.
const std::vector<std::string>& metric_names();

}  // namespace engraft::stats
