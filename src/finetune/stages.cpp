#include "finetune/stages.h"

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/frozen.h"
#include "finetune/sources.h"
#include "finetune/trainees.h"
#include "graph/surgery.h"

namespace engraft::finetune {

namespace {

train::FitOptions fit_options(const Setup& setup, const StagePlan& stage) {
  train::FitOptions fit;
  fit.epochs = stage.epochs;
  fit.batch_size = setup.engine_options.batch_size;
  fit.optimizer = {stage.optimizer.optimizer, stage.optimizer.momentum, stage.optimizer.weight_decay};
  fit.schedule.shape = stage.optimizer.schedule;
  fit.schedule.learning_rate = stage.optimizer.learning_rate;
  fit.warmup_epochs = stage.optimizer.warmup_epochs;
  fit.seed = static_cast<uint64_t>(setup.options.seed);
  fit.stage = stage.number;
  fit.sigmoid = setup.options.loss == "sigmoid";
  return fit;
}

std::function<void(const train::EpochRecord&)> recorder(const StagePlan& stage, store::RunFolder& folder,
                                                        Reporter& reporter) {
  return [&](const train::EpochRecord& e) {
    folder.add_metrics(io::Json{{"stage", stage.number},
                                {"epoch", e.epoch},
                                {"learning_rate", e.learning_rate},
                                {"train_loss", e.train_loss},
                                {"train_top1", e.train_top1},
                                {"val_loss", e.val_loss},
                                {"val_top1", e.val_top1}});
    folder.add_timing(io::Json{{"stage", stage.number}, {"epoch", e.epoch}, {"seconds", e.seconds}});
    reporter.note(text::cat("stage ", stage.number, " epoch ", e.epoch, ": train loss ", text::fixed(e.train_loss, 4),
                            ", val loss ", text::fixed(e.val_loss, 4), ", val top1 ", text::fixed(100 * e.val_top1, 2),
                            " %, ", text::duration(e.seconds)));
  };
}

io::Json epoch_json(const train::EpochRecord& e) {
  return io::Json{{"epoch", e.epoch}, {"top1", e.val_top1}, {"loss", e.val_loss}, {"train_loss", e.train_loss}};
}

std::string epoch_text(const char* which, const train::EpochRecord& e) {
  return text::cat(which, " epoch ", e.epoch, ": top1 ", text::fixed(100 * e.val_top1, 2), " %, loss ",
                   text::fixed(e.val_loss, 4), ", train loss ", text::fixed(e.train_loss, 4));
}

/// A resumed stage must freeze what the one that was cut off froze, to the bit.
void require_same_frozen(const model::FrozenProof& proof, const Resumption& resumption) {
  io::Json digests = io::Json::object();
  for (const auto& [block, digest] : proof.digests()) digests[block] = digest;
  if (digests == resumption.frozen_digests) return;
  throw DataError("the frozen blocks are not those of the checkpoint: the backbone or the checkpoint was changed");
}

/// Fits, leaves the trainee at the wanted epoch, and holds the body against `proof`, made here before the first step.
/// `seen_in_train_mode` tells, after training, the frozen blocks whose norms stood in train mode during it.
StageOutcome run_stage(Setup& setup, const StagePlan& stage, train::Trainee& trainee, train::BatchSource& train,
                       train::BatchSource& val, const std::function<std::vector<std::string>()>& seen_in_train_mode,
                       const StageContext& context) {
  const model::FrozenProof proof(setup.body, stage.freeze);
  if (context.resumption != nullptr) require_same_frozen(proof, *context.resumption);
  StageCheckpointer checkpointer(setup, stage, proof, context.folder, context.done, context.steps_before);
  train::FitHooks hooks;
  hooks.on_epoch = recorder(stage, context.folder, context.reporter);
  hooks.checkpointer = &checkpointer;
  if (context.resumption != nullptr) hooks.start = &context.resumption->start;
  const train::FitResult fitted = train::fit(trainee, train, val, fit_options(setup, stage), context.reporter, hooks);
  const bool take_last = stage.number == setup.stages.back().number && setup.options.select == "last";
  const train::EpochRecord& best = fitted.epochs[fitted.best];
  const train::EpochRecord& last = fitted.epochs.back();
  if (!take_last) tensor::restore(fitted.best_state, trainee.state());
  const auto verdict = proof.check(setup.body, seen_in_train_mode());
  require_frozen(stage.number, verdict);

  StageOutcome outcome;
  outcome.record = to_json(stage);
  outcome.record["best"] = epoch_json(best);
  outcome.record["last"] = epoch_json(last);
  outcome.record["frozen"] = frozen_json(proof, verdict);
  outcome.selected = text::cat("stage ", stage.number, ", epoch ", (take_last ? last : best).epoch);
  const std::string learns =
      stage.freeze.learning.empty() ? "head alone" : "head and " + text::abridge(stage.freeze.learning, 4);
  outcome.summary = text::cat("stage ", stage.number, "  ", learns, "\n         ", epoch_text("best", best),
                              "\n         ", epoch_text("last", last), "\n         ", frozen_text(verdict), "\n");
  return outcome;
}

/// Training and validation batches from rows in the setup's order.
std::pair<std::unique_ptr<train::BatchSource>, std::unique_ptr<train::BatchSource>> rows_sources(
    const Setup& setup, const store::ActivationRows& rows) {
  const auto train_count = static_cast<int64_t>(setup.train_rows.size());
  const auto val_count = static_cast<int64_t>(setup.val_rows.size());
  return {std::make_unique<RowsSource>(rows.slice(0, train_count),
                                       labels_of(setup.listing, setup.train_rows, setup.device)),
          std::make_unique<RowsSource>(rows.slice(train_count, val_count),
                                       labels_of(setup.listing, setup.val_rows, setup.device))};
}

}  // namespace

StageOutcome train_head(Setup& setup, const store::ActivationRows& features, const StageContext& context) {
  auto [train, val] = rows_sources(setup, features);
  HeadTrainee trainee(setup.head);
  const auto none = [] { return std::vector<std::string>(); };
  return run_stage(setup, setup.stages.front(), trainee, *train, *val, none, context);
}

StageOutcome train_stage(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                         const StageContext& context) {
  Reporter& reporter = context.reporter;
  std::string trunk_method, top_method = "forward";  // no trunk: the pictures themselves
  if (!stage.cut.empty()) {
    const graph::Split split = graph::split(setup.body, stage.cut);
    trunk_method = split.trunk_method;
    top_method = split.top_method;
  }
  reporter.note(text::cat("stage ", stage.number, ": unfreezes ", text::abridge(stage.freeze.learning, 6), "; cut at ",
                          stage.cut.empty() ? "the pictures" : stage.cut));
  if (!stage.cut_note.empty()) reporter.warn(text::cat("stage ", stage.number, ": ", stage.cut_note));
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<train::BatchSource> train, val;
  if (activations) {
    std::tie(train, val) = rows_sources(setup, *activations);
  } else {
    engine = engine::make_torch_engine(setup.body, trunk_method, setup.engine_options);
    const int64_t threads = setup.options.compute.loader_threads;
    train = std::make_unique<PictureSource>(setup.listing, setup.train_rows, *engine, threads);
    val = std::make_unique<PictureSource>(setup.listing, setup.val_rows, *engine, threads);
  }
  engine::prepare_module(setup.body, setup.device);
  TopTrainee trainee(setup.body, top_method, stage.freeze, setup.pool, setup.head);
  trainee.set_training(false);
  const auto seen = [&] { return trainee.frozen_seen_in_train_mode(); };
  return run_stage(setup, stage, trainee, *train, *val, seen, context);
}

}  // namespace engraft::finetune
