#include "finetune/epoch_record.h"

#include <nlohmann/json.hpp>

namespace engraft::finetune {

io::Json metrics_json(const StagePlan& stage, const train::EpochRecord& e, Target target) {
  io::Json line = {
      {"stage", stage.number}, {"epoch", e.epoch}, {"learning_rate", e.learning_rate}, {"train_loss", e.train_loss}};
  const std::string counted = stats::counted_name(target);
  if (!counted.empty()) line["train_" + counted] = e.train_right;
  line["val_loss"] = e.val_loss;
  for (const stats::Metric& metric : e.val_metrics) line["val_" + metric.name] = metric.value;
  return line;
}

io::Json timing_json(const StagePlan& stage, const train::EpochRecord& epoch) {
  return {{"stage", stage.number}, {"epoch", epoch.epoch}, {"seconds", epoch.seconds}};
}

io::Json epoch_json(const train::EpochRecord& e) {
  io::Json json = {{"epoch", e.epoch}};
  for (const stats::Metric& metric : e.val_metrics) json[metric.name] = metric.value;
  json["loss"] = e.val_loss;
  json["train_loss"] = e.train_loss;
  return json;
}

}  // namespace engraft::finetune
