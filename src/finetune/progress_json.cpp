#include "finetune/progress_json.h"

#include <nlohmann/json.hpp>

namespace engraft::finetune {

namespace {

io::Json updates_json(const std::vector<train::UpdateSize>& updates) {
  io::Json json = io::Json::array();
  for (const train::UpdateSize& update : updates) json.push_back({update.name, update.ratio, update.still});
  return json;
}

std::vector<train::UpdateSize> updates_of(const io::Json& json) {
  std::vector<train::UpdateSize> updates;
  for (const io::Json& update : json) {
    updates.push_back({update.at(0).get<std::string>(), update.at(1).get<double>(), update.at(2).get<double>()});
  }
  return updates;
}

io::Json epoch_json(const train::EpochRecord& e) {
  io::Json metrics = io::Json::array();
  for (const stats::Metric& metric : e.val_metrics) metrics.push_back({metric.name, metric.value});
  return {{"epoch", e.epoch},
          {"learning_rate", e.learning_rate},
          {"train_loss", e.train_loss},
          {"train_right", e.train_right},
          {"val_loss", e.val_loss},
          {"val_merit", e.val_merit},
          {"val_metrics", metrics},
          {"seconds", e.seconds},
          {"updates", updates_json(e.updates)}};
}

train::EpochRecord epoch_of(const io::Json& json) {
  train::EpochRecord e;
  json.at("epoch").get_to(e.epoch);
  json.at("learning_rate").get_to(e.learning_rate);
  json.at("train_loss").get_to(e.train_loss);
  json.at("train_right").get_to(e.train_right);
  json.at("val_loss").get_to(e.val_loss);
  json.at("val_merit").get_to(e.val_merit);
  for (const io::Json& metric : json.at("val_metrics")) {
    e.val_metrics.push_back({metric.at(0).get<std::string>(), metric.at(1).get<double>()});
  }
  json.at("seconds").get_to(e.seconds);
  e.updates = updates_of(json.at("updates"));
  return e;
}

}  // namespace

io::Json to_json(const train::Progress& p) {
  io::Json json = {{"step", p.step},         {"epoch", p.epoch},     {"rows_done", p.rows_done},
                   {"loss_sum", p.loss_sum}, {"right", p.right},     {"learning_rate", p.learning_rate},
                   {"best", p.best},         {"updates", p.updates}, {"update_sizes", updates_json(p.update_sizes)}};
  json["epochs"] = io::Json::array();
  for (const train::EpochRecord& e : p.epochs) json["epochs"].push_back(epoch_json(e));
  return json;
}

train::Progress progress_of(const io::Json& json) {
  train::Progress p;
  json.at("step").get_to(p.step);
  json.at("epoch").get_to(p.epoch);
  json.at("rows_done").get_to(p.rows_done);
  json.at("loss_sum").get_to(p.loss_sum);
  json.at("right").get_to(p.right);
  json.at("learning_rate").get_to(p.learning_rate);
  json.at("best").get_to(p.best);
  json.at("updates").get_to(p.updates);
  p.update_sizes = updates_of(json.at("update_sizes"));
  for (const io::Json& e : json.at("epochs")) p.epochs.push_back(epoch_of(e));
  return p;
}

}  // namespace engraft::finetune
