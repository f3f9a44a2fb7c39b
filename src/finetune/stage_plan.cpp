#include "finetune/stage_plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/anatomy.h"
#include "model/backbone.h"
#include "options/schema.h"

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

void check_length(const StagePlan& stage, const TrainOptions& head) {
  const std::string where = stage.number == 1 ? "the head stage" : text::cat("--stage (stage ", stage.number, ")");
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
};

Body describe_body(const torch::jit::Module& module, const std::string& tap) {
  Body body{graph::analyse(module, {tap}), {}, {}};
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

StagePlan plan_one(const StageOptions& given, const TrainOptions& head, int64_t number, const Body& body) {
  StagePlan stage;
  stage.number = number;
  stage.unfreeze = given.unfreeze;
  stage.epochs = given.epochs.value_or(head.epochs);
  stage.optimizer = head.optimizer;
  stage.optimizer.learning_rate = given.learning_rate.value_or(head.optimizer.learning_rate / 10);
  if (given.optimizer) stage.optimizer.optimizer = *given.optimizer;
  if (given.momentum) stage.optimizer.momentum = *given.momentum;
  if (given.weight_decay) stage.optimizer.weight_decay = *given.weight_decay;
  if (given.schedule) stage.optimizer.schedule = *given.schedule;
  if (given.warmup_epochs) stage.optimizer.warmup_epochs = *given.warmup_epochs;
  check_length(stage, head);
  stage.freeze = model::plan_freeze(given.unfreeze, body.blocks, body.has_parameters);
  if (!learns_something(stage, body)) {
    throw UsageError(text::cat("--stage (stage ", number, "): unfreeze=", given.unfreeze, " names ",
                               text::join(stage.freeze.learning, " "), ", which have nothing to learn"));
  }
  choose_cut(stage, body.anatomy);
  return stage;
}

}  // namespace

std::vector<StagePlan> plan_stages(const TrainOptions& options, const torch::jit::Module& module,
                                   const std::string& tap) {
  const Body body = describe_body(module, tap);
  std::vector<StagePlan> stages;
  StageOptions head;
  head.unfreeze = "none";
  head.learning_rate = options.optimizer.learning_rate;
  stages.push_back(plan_one(head, options, 1, body));
  for (const std::string& text : options.stage) {
    const int64_t number = static_cast<int64_t>(stages.size()) + 1;
    const std::string where = text::cat("--stage (stage ", number, ")");
    StageOptions given;
    options::Schema schema;
    describe(schema, given);
    schema.apply_assignments(text, where);
    schema.check_required(where);
    stages.push_back(plan_one(given, options, number, body));
  }
  return stages;
}

io::Json to_json(const StagePlan& stage) {
  return io::Json{{"stage", stage.number},
                  {"unfreeze", stage.unfreeze},
                  {"epochs", stage.epochs},
                  {"optimizer", stage.optimizer.optimizer},
                  {"learning_rate", stage.optimizer.learning_rate},
                  {"momentum", stage.optimizer.momentum},
                  {"weight_decay", stage.optimizer.weight_decay},
                  {"schedule", stage.optimizer.schedule},
                  {"warmup_epochs", stage.optimizer.warmup_epochs},
                  {"cut", stage.cut},
                  {"learning", stage.freeze.learning}};
}

}  // namespace engraft::finetune
