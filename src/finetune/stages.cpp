#include "finetune/stages.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/epoch_record.h"
#include "finetune/frozen.h"
#include "finetune/stage_fit.h"
#include "finetune/stage_parts.h"
#include "finetune/verify_resume.h"

namespace engraft::finetune {

namespace {

std::function<void(const train::EpochRecord&)> recorder(const StagePlan& stage, Target target, store::RunFolder& folder,
                                                        Reporter& reporter) {
  return [&stage, target, &folder, &reporter](const train::EpochRecord& e) {
    folder.add_epochs({metrics_json(stage, e, target)}, {timing_json(stage, e)});
    reporter.note(text::cat("stage ", stage.number, " epoch ", e.epoch, ": train loss ", text::fixed(e.train_loss, 4),
                            ", val loss ", text::fixed(e.val_loss, 4), ", val ",
                            stats::metric_text(e.val_metrics.front().name, e.val_metrics.front().value), ", ",
                            text::duration(e.seconds)));
  };
}

std::string epoch_text(const char* which, const train::EpochRecord& e) {
  return text::cat(which, " epoch ", e.epoch, ": ", stats::metrics_text(e.val_metrics), ", loss ",
                   text::fixed(e.val_loss, 4), ", train loss ", text::fixed(e.train_loss, 4));
}

std::string early_text(const train::FitOptions& fit) {
  return text::cat("; of ", fit.epochs, ", stopped early: ", text::count_of(fit.patience, "epoch"),
                   " without a better one");
}

/// A resumed stage must freeze what the one that was cut off froze, to the bit.
void require_same_frozen(const model::FrozenProof& proof, const Resumption& resumption) {
  io::Json digests = io::Json::object();
  for (const auto& [block, digest] : proof.digests()) digests[block] = digest;
  if (digests == resumption.frozen_digests) return;
  throw DataError("the frozen blocks are not those of the checkpoint: the backbone or the checkpoint was changed");
}

/// Fits, leaves the trainee at the wanted epoch, and holds the body against a proof made here before the first step.
StageOutcome run_stage(Setup& setup, const StagePlan& stage, StageParts& parts, const StageContext& context) {
  train::Trainee& trainee = *parts.trainee;
  const model::FrozenProof proof(setup.body, stage.freeze);
  if (context.resumption != nullptr) require_same_frozen(proof, *context.resumption);
  if (context.resumption == nullptr) recalibrate_norms(setup, stage, parts);
  StageCheckpointer checkpointer(setup, stage, proof, context.folder, context.done, context.steps_before);
  train::FitHooks hooks;
  hooks.on_epoch = recorder(stage, setup.target, context.folder, context.reporter);
  hooks.checkpointer = &checkpointer;
  if (context.resumption != nullptr) hooks.start = &context.resumption->start;
  if (setup.options.verify_resume > 0 && context.is_first) {
    verify_resume(setup, stage, parts,
                  {checkpointer, hooks.start, setup.options.verify_resume, context.folder.file(".tmp-verify")},
                  context.reporter);
  }
  const train::FitOptions fit = fit_options(setup, stage);
  const train::FitResult fitted = train::fit(trainee, *parts.train, *parts.val, fit, context.reporter, hooks);
  const bool is_cut_short = static_cast<int64_t>(fitted.epochs.size()) < fit.epochs;
  const bool take_last = takes_last(setup, stage);
  const train::EpochRecord& best = fitted.epochs[fitted.best];
  const train::EpochRecord& last = fitted.epochs.back();
  if (!take_last) tensor::restore(fitted.best_state, trainee.state());
  const auto verdict = proof.check(setup.body, parts.seen_in_train_mode());
  require_frozen(stage.number, verdict);

  StageOutcome outcome;
  outcome.record = to_json(stage);
  outcome.record["best"] = epoch_json(best);
  outcome.record["last"] = epoch_json(last);
  if (is_cut_short) outcome.record["stopped_early"] = true;
  outcome.record["frozen"] = frozen_json(proof, verdict);
  const std::vector<BlockUpdate> updates = block_updates(fitted.epochs, stage);
  outcome.record["updates"] = to_json(updates);
  warn_of_still_blocks(updates, stage, context.reporter);
  outcome.selected = text::cat("stage ", stage.number, ", epoch ", (take_last ? last : best).epoch);
  const std::string learns =
      stage.freeze.learning.empty() ? "head alone" : "head and " + text::abridge(stage.freeze.learning, 4);
  outcome.summary = text::cat("stage ", stage.number, "  ", learns, "\n         ", epoch_text("best", best),
                              "\n         ", epoch_text("last", last), is_cut_short ? early_text(fit) : "",
                              "\n         ", frozen_text(verdict), "\n");
  return outcome;
}

}  // namespace

train::RateRange find_rate(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& rows,
                           Reporter& reporter) {
  StageParts parts =
      stage.is_on_features() && rows ? head_parts(setup, *rows) : top_parts(setup, stage, rows, reporter);
  recalibrate_norms(setup, stage, parts);
  return train::range_test(*parts.trainee, *parts.train, fit_options(setup, stage), {}, reporter);
}

StageOutcome train_head(Setup& setup, const store::ActivationRows& features, const StageContext& context) {
  StageParts parts = head_parts(setup, features);
  return run_stage(setup, setup.stages.front(), parts, context);
}

StageOutcome train_stage(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                         const StageContext& context) {
  StageParts parts = top_parts(setup, stage, activations, context.reporter);
  return run_stage(setup, stage, parts, context);
}

}  // namespace engraft::finetune
