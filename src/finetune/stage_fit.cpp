#include "finetune/stage_fit.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::finetune {

namespace {

constexpr const char *kBackbonePrefix = "backbone.", *kTeacherPrefix = "teacher.";  // as TopTrainee names them
constexpr double kMostlyStill = 0.5;
constexpr double kMostWeight = 1e6;

std::vector<int64_t> train_labels(const Setup& setup) {
  std::vector<int64_t> labels;
  for (const int64_t row : setup.train_rows) {
    labels.push_back(setup.listing.samples[static_cast<size_t>(row)].label);
  }
  return labels;
}

std::vector<double> balanced_weights(size_t classes, const std::vector<int64_t>& labels) {
  std::vector<double> counts(classes, 0), weights;
  for (const int64_t label : labels) ++counts[static_cast<size_t>(label)];
  for (const double count : counts) {
    weights.push_back(count == 0 ? 0 : static_cast<double>(labels.size()) / (static_cast<double>(classes) * count));
  }
  return weights;
}

/// Of "ants:1+bees:2.5".
std::vector<double> named_weights(const std::string& text, const std::vector<std::string>& classes) {
  std::vector<double> weights(classes.size(), 1.0);
  std::set<std::string> named;
  for (const std::string& part : text::split(text, '+')) {
    const size_t colon = part.rfind(':');
    const auto weight = text::to_double(colon == std::string::npos ? "" : part.substr(colon + 1));
    const std::string name = text::trim(part.substr(0, colon));
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (!weight || !(*weight >= 0 && *weight <= kMostWeight)) {
      throw UsageError(text::cat("class_weights '", text, "': '", part,
                                 "': expected CLASS:WEIGHT with a weight from 0 to ", kMostWeight));
    }
    if (found == classes.end()) {
      throw UsageError("class_weights: no class '" + name + "'; classes: " + text::abridge(classes, 8));
    }
    if (!named.insert(name).second) throw UsageError("class_weights '" + text + "': '" + name + "' twice");
    weights[static_cast<size_t>(found - classes.begin())] = *weight;
  }
  if (std::all_of(weights.begin(), weights.end(), [](double weight) { return weight == 0; })) {
    throw UsageError("class_weights '" + text + "': every class has weight 0, which leaves nothing to learn from");
  }
  return weights;
}

bool is_none(const std::string& text) { return text == "none" || text.empty(); }

/// Throws UsageError for settings that have no meaning with the target.
void check_target(const OptimizerOptions& o, Target target) {
  if (target == Target::kMultiLabel && o.balanced) {
    throw UsageError(
        "balanced: a picture with several labels is of no single class; class_weights=balanced weighs them");
  }
  if (target != Target::kRegression) return;
  const char* given = o.balanced                  ? "balanced"
                      : !is_none(o.class_weights) ? "class_weights"
                      : o.label_smoothing > 0     ? "label_smoothing"
                                                  : nullptr;
  if (given != nullptr) throw UsageError(std::string(given) + ": regression has no classes");
}

/// How the loss of the training rows is weighted.
std::vector<double> weights_of(const Setup& setup, const std::string& text) {
  if (setup.target != Target::kMultiLabel) return class_weights(text, setup.listing.classes, train_labels(setup));
  std::vector<std::vector<int64_t>> labels;
  for (const int64_t row : setup.train_rows) {
    labels.push_back(setup.listing.samples[static_cast<size_t>(row)].labels);
  }
  return label_weights(text, setup.listing.classes, labels);
}

/// The block that a trainee's parameter belongs to.
std::string block_of(const std::string& parameter, const StagePlan& stage) {
  if (text::starts_with(parameter, kTeacherPrefix)) return "teacher";
  if (!text::starts_with(parameter, kBackbonePrefix)) return "head";
  const std::string name = parameter.substr(std::string(kBackbonePrefix).size());
  for (const std::string& block : stage.freeze.learning) {
    if (model::belongs_to(name, block)) return block;
  }
  return name;
}

/// The blocks' means in one epoch, in the order of the parameters.
std::vector<BlockUpdate> updates_of(const train::EpochRecord& epoch, const StagePlan& stage) {
  std::vector<BlockUpdate> out;
  std::vector<double> counts;
  for (const train::UpdateSize& update : epoch.updates) {
    const std::string block = block_of(update.name, stage);
    if (out.empty() || out.back().block != block) {
      out.push_back({block, 0, 0});
      counts.push_back(0);
    }
    out.back().ratio += update.ratio;
    out.back().still += update.still;
    ++counts.back();
  }
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].ratio /= counts[i];
    out[i].still /= counts[i];
  }
  return out;
}

}  // namespace

std::vector<double> class_weights(const std::string& text, const std::vector<std::string>& classes,
                                  const std::vector<int64_t>& labels) {
  if (is_none(text)) return {};
  return text == "balanced" ? balanced_weights(classes.size(), labels) : named_weights(text, classes);
}

std::vector<double> label_weights(const std::string& text, const std::vector<std::string>& classes,
                                  const std::vector<std::vector<int64_t>>& labels) {
  if (is_none(text)) return {};
  if (text != "balanced") return named_weights(text, classes);
  std::vector<double> counts(classes.size(), 0), weights;
  for (const std::vector<int64_t>& of_row : labels) {
    for (const int64_t label : of_row) ++counts[static_cast<size_t>(label)];
  }
  const auto rows = static_cast<double>(labels.size());
  for (const double with : counts) weights.push_back(with == 0 || with == rows ? 1 : (rows - with) / with);
  return weights;
}

bool takes_last(const Setup& setup, const StagePlan& stage) {
  return stage.number == setup.stages.back().number && setup.options.select == "last";
}

train::FitOptions fit_options(const Setup& setup, const StagePlan& stage) {
  const OptimizerOptions& o = stage.optimizer;
  check_target(o, setup.target);
  train::FitOptions fit;
  fit.epochs = stage.epochs;
  fit.batch_size = setup.engine_options.batch_size;
  fit.optimizer.name = o.optimizer;
  fit.optimizer.momentum = o.momentum;
  fit.optimizer.nesterov = o.nesterov;
  fit.optimizer.weight_decay = o.weight_decay;
  fit.schedule.shape = o.schedule;
  fit.schedule.learning_rate = o.learning_rate;
  fit.schedule.factor = o.schedule_factor;
  fit.schedule.patience = o.schedule_epochs;
  const auto rows = static_cast<int64_t>(setup.train_rows.size());
  fit.schedule.step_every = (rows + fit.batch_size - 1) / fit.batch_size * o.schedule_epochs;
  fit.warmup_epochs = o.warmup_epochs;
  fit.seed = static_cast<uint64_t>(setup.options.seed);
  fit.stage = stage.number;
  fit.target = setup.target;
  fit.scale = setup.scale;
  fit.label_smoothing = o.label_smoothing;
  fit.class_weights = weights_of(setup, o.class_weights);
  if (o.balanced) fit.balance_by = train_labels(setup);
  if (setup.teacher) fit.teacher = setup.teacher->loss;
  fit.accumulate = o.accumulate;
  fit.clip_norm = o.clip_norm;
  fit.ema = o.ema;
  fit.patience = o.patience;
  fit.keeps_best = !takes_last(setup, stage);
  return fit;
}

std::vector<double> block_scales(const Setup& setup, const StagePlan& stage) {
  const OptimizerOptions& o = stage.optimizer;
  if (o.layer_decay == 1 && o.backbone_scale == 1) return {};
  const std::vector<std::string>& learning = stage.freeze.learning;
  const std::vector<bool> has_parameters = model::with_parameters(setup.body, learning);
  std::vector<double> scales(learning.size(), o.backbone_scale);
  double decay = 1;
  for (size_t i = learning.size(); i-- > 0;) {
    if (has_parameters[i]) decay *= o.layer_decay;
    scales[i] *= decay;
  }
  return scales;
}

std::vector<BlockUpdate> block_updates(const std::vector<train::EpochRecord>& epochs, const StagePlan& stage) {
  std::vector<BlockUpdate> out;
  for (const train::EpochRecord& epoch : epochs) {
    const std::vector<BlockUpdate> of_epoch = updates_of(epoch, stage);
    if (out.empty()) out = of_epoch;
    for (size_t i = 0; i < of_epoch.size(); ++i) {
      if (of_epoch[i].ratio > out[i].ratio) out[i] = of_epoch[i];
    }
  }
  return out;
}

void warn_of_still_blocks(const std::vector<BlockUpdate>& updates, const StagePlan& stage, Reporter& reporter) {
  for (const BlockUpdate& update : updates) {
    if (update.still < kMostlyStill) continue;
    reporter.warn(text::cat("stage ", stage.number, ": updates of ", update.block,
                            " are below float32 resolution: ", text::fixed(100 * update.still, 0),
                            " % of its weights kept their value (updates are ", text::fixed(1e9 * update.ratio, 1),
                            "e-9 of its length); a higher learning_rate would move them"));
  }
}

io::Json to_json(const std::vector<BlockUpdate>& updates) {
  io::Json json = io::Json::object();
  for (const BlockUpdate& update : updates) json[update.block] = {{"ratio", update.ratio}, {"still", update.still}};
  return json;
}

}  // namespace engraft::finetune
