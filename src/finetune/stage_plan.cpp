#include "finetune/stage_plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/anatomy.h"
#include "model/backbone.h"
#include "options/schema.h"
#include "train/optimizer.h"

namespace engraft::finetune {

namespace {

/// The highest legal cut below the first learning block: behind the pools and sums that follow the last frozen block
/// where these give less to carry.
void choose_cut(StagePlan& stage, const graph::Anatomy& anatomy) {
  const std::vector<graph::BlockInfo>& blocks = anatomy.blocks();
  const int64_t first =
      stage.freeze.first_learning < 0 ? static_cast<int64_t>(blocks.size()) : stage.freeze.first_learning;
  for (int64_t i = first - 1; i >= 0; --i) {
    const graph::BlockInfo& block = blocks[static_cast<size_t>(i)];
    const std::vector<std::string> cuts = anatomy.cuts_behind(block.name);
    if (!cuts.empty()) {
      stage.cut = cuts.back();
      break;
    }
    if (i == first - 1) stage.cut_note = "no cut at " + block.name + ": " + block.why_not;
  }
}

std::string name_of(int64_t number) {
  return number == 1 ? "the head stage" : text::cat("--stage (stage ", number, ")");
}

void check_length(const StagePlan& stage, const TrainOptions& head) {
  const std::string where = name_of(stage.number);
  if (stage.number > 1 && stage.epochs < 1) {
    throw UsageError(text::cat(where, ": give epochs=N; there is none to inherit from --epochs ", head.epochs));
  }
  if (stage.epochs > 0 && stage.optimizer.warmup_epochs >= stage.epochs) {
    throw UsageError(text::cat(where, ": warm-up takes ", text::count_of(stage.optimizer.warmup_epochs, "epoch"),
                               " of ", stage.epochs, " and leaves none; give warmup_epochs below that"));
  }
}

/// What is the same for all stages of a run.
struct Body {
  graph::Anatomy anatomy;
  std::vector<std::string> blocks;
  std::vector<bool> has_parameters;
  bool is_new = false;
};

Body describe_body(const torch::jit::Module& module, const std::string& tap) {
  Body body{graph::analyse(module, {tap}), {}, {}, false};
  body.blocks = model::block_names(body.anatomy);
  body.has_parameters = model::with_parameters(module, body.blocks);
  return body;
}

bool learns_something(const StagePlan& stage, const Body& body) {
  if (stage.freeze.learning.empty()) return true;  // the head
  for (size_t i = 0; i < body.blocks.size(); ++i) {
    const auto& learning = stage.freeze.learning;
    const bool learns = std::find(learning.begin(), learning.end(), body.blocks[i]) != learning.end();
    if (learns && body.has_parameters[i]) return true;
  }
  return false;
}

/// Refuses what cannot go together. `where` names the stage.
void check_together(const StagePlan& stage, const TrainOptions& options, const std::string& where) {
  const OptimizerOptions& o = stage.optimizer;
  if (stage.mix.is_on() && stage.is_on_features()) {
    throw UsageError(where + ": mixup and cutmix mix pictures, and the head learns from features that were computed " +
                     "once; give them to a --stage, or use --epochs 0");
  }
  if (stage.mix.is_on() && (options.cache.cache == "memory" || options.cache.cache == "disk")) {
    throw UsageError(where +
                     ": mixed pictures differ in every epoch, and what the trunk makes of them cannot be kept; " +
                     "leave --cache at auto, or off");
  }
  if (o.optimizer != "sgd" && o.nesterov) {
    throw UsageError(where + ": nesterov belongs to sgd, the optimizer is " + o.optimizer);
  }
  if (o.optimizer == "sgd" && o.nesterov && o.momentum.value_or(train::kSgdMomentum) == 0) {
    throw UsageError(where + ": nesterov needs a momentum above 0");
  }
  if (o.optimizer == "lbfgs" && !stage.freeze.learning.empty()) {
    throw UsageError(where +
                     ": lbfgs takes all rows in one step and is for heads; use sgd or adamw to unfreeze blocks");
  }
  if (o.optimizer == "lbfgs" && (o.accumulate > 1 || o.balanced || o.ema > 0 || o.clip_norm > 0)) {
    throw UsageError(where +
                     ": lbfgs takes every row once in a step; accumulate, balanced, ema and clip_norm do not go " +
                     "with it");
  }
  if (o.schedule == "one_cycle" && o.warmup_epochs > 0) {
    throw UsageError(where + ": one_cycle has a rise of its own; warmup_epochs does not go with it");
  }
}

bool takes_momentum(const StagePlan& stage) {
  return stage.optimizer.optimizer != "adamw" && stage.optimizer.optimizer != "lbfgs";
}
bool unfreezes(const StagePlan& stage) { return stage.epochs > 0 && !stage.freeze.learning.empty(); }
bool steps_down(const StagePlan& stage) {
  return stage.optimizer.schedule == "step" || stage.optimizer.schedule == "plateau";
}

/// A setting that some stages have no use for.
struct Setting {
  const char* name;
  bool (*is_given)(const OptimizerOptions& options);
  bool (*is_heeded)(const StagePlan& stage);
  const char* belongs_to;
  std::string (*found)(const StagePlan& stage);
};

const Setting kSettings[] = {
    {"--momentum", [](const OptimizerOptions& o) { return o.momentum.has_value(); }, takes_momentum,
     "sgd and both rmsprop", [](const StagePlan& s) { return "every stage uses " + s.optimizer.optimizer; }},
    {"--schedule-factor",
     [](const OptimizerOptions& o) { return o.schedule_factor != OptimizerOptions().schedule_factor; }, steps_down,
     "--schedule step and plateau", [](const StagePlan& s) { return "every stage's is " + s.optimizer.schedule; }},
    {"--schedule-epochs",
     [](const OptimizerOptions& o) { return o.schedule_epochs != OptimizerOptions().schedule_epochs; }, steps_down,
     "--schedule step and plateau", [](const StagePlan& s) { return "every stage's is " + s.optimizer.schedule; }},
    {"--layer-decay", [](const OptimizerOptions& o) { return o.layer_decay != 1; }, unfreezes, "blocks that learn",
     [](const StagePlan&) { return std::string("no --stage unfreezes any"); }},
    {"--backbone-scale", [](const OptimizerOptions& o) { return o.backbone_scale != 1; }, unfreezes,
     "blocks that learn", [](const StagePlan&) { return std::string("no --stage unfreezes any"); }},
    {"--norms", [](const OptimizerOptions& o) { return o.norms.has_value(); }, unfreezes, "blocks that learn",
     [](const StagePlan&) { return std::string("no --stage unfreezes any"); }},
};

/// A setting that no stage has a use for is a misunderstanding.
void check_settings(const std::vector<OptimizerOptions>& given, const std::vector<StagePlan>& stages) {
  for (const Setting& setting : kSettings) {
    if (std::none_of(given.begin(), given.end(), setting.is_given)) continue;
    if (std::any_of(stages.begin(), stages.end(), setting.is_heeded)) continue;
    throw UsageError(
        text::cat(setting.name, ": belongs to ", setting.belongs_to, ", and ", setting.found(stages.front())));
  }
}

StagePlan plan_one(const StageOptions& given, const TrainOptions& head, int64_t number, const Body& body) {
  const std::string where = name_of(number);
  StagePlan stage;
  stage.number = number;
  stage.unfreeze = first_known(given.unfreeze, body.blocks);
  stage.epochs = given.epochs;
  stage.optimizer = given.optimizer;
  stage.mix = {given.optimizer.mixup, given.optimizer.cutmix};
  check_length(stage, head);
  stage.freeze = model::plan_freeze(stage.unfreeze, body.blocks, body.has_parameters);
  if (!stage.optimizer.norms) stage.optimizer.norms = body.is_new ? "train" : "frozen";
  stage.freeze.norms = model::norm_policy_from_text(*stage.optimizer.norms);
  if (stage.epochs > 0) check_together(stage, head, where);
  if (!takes_momentum(stage)) stage.optimizer.momentum.reset();  // that of another stage
  if (!learns_something(stage, body)) {
    throw UsageError(text::cat(where, ": unfreeze=", stage.unfreeze, " names ", text::join(stage.freeze.learning, " "),
                               ", which have nothing to learn"));
  }
  choose_cut(stage, body.anatomy);
  return stage;
}

}  // namespace

std::string first_known(const std::string& alternatives, const std::vector<std::string>& blocks) {
  const std::vector<std::string> names = text::split(alternatives, '|');
  if (names.size() < 2) return alternatives;
  for (const std::string& name : names) {
    for (const std::string& block : blocks) {
      if (block == text::trim(name) || model::belongs_to(block, text::trim(name))) return text::trim(name);
    }
  }
  return text::trim(names.front());
}

std::vector<StagePlan> plan_stages(const TrainOptions& options, const torch::jit::Module& module,
                                   const std::string& tap, bool is_new) {
  Body body = describe_body(module, tap);
  body.is_new = is_new;
  std::vector<StagePlan> stages;
  std::vector<OptimizerOptions> all_given = {options.optimizer};
  stages.push_back(plan_one({is_new ? "all" : "none", options.epochs, options.optimizer}, options, 1, body));
  for (const std::string& text : options.stage) {
    const int64_t number = static_cast<int64_t>(stages.size()) + 1;
    const StageOptions given = read_stage(text, options, name_of(number));
    all_given.push_back(given.optimizer);
    stages.push_back(plan_one(given, options, number, body));
  }
  check_settings(all_given, stages);
  return stages;
}

io::Json to_json(const StagePlan& stage) {
  StageOptions resolved{stage.unfreeze, stage.epochs, stage.optimizer};
  options::Schema schema;
  describe(schema, resolved);
  io::Json json = {{"stage", stage.number}};
  json.update(schema.record());
  json["cut"] = stage.cut;
  json["learning"] = stage.freeze.learning;
  return json;
}

}  // namespace engraft::finetune
