#include "finetune/head_runs.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/epoch_record.h"
#include "finetune/frozen_part.h"
#include "finetune/head_stack.h"
#include "finetune/judge.h"
#include "finetune/setup.h"
#include "finetune/stage_fit.h"
#include "finetune/stage_parts.h"
#include "io/toml.h"
#include "store/checkpoint.h"
#include "store/run_folder.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

/// The head's stage as the run has it.
StagePlan stage_of(const Setup& setup, const HeadRun& run) {
  StagePlan stage = setup.stages.front();
  stage.optimizer = run.options.optimizer;
  return stage;
}

HeadTrial trial_of(const Setup& setup, const HeadRun& run) {
  HeadTrial trial;
  trial.head = setup.head.options();
  trial.head.spec = run.options.head;
  trial.head.seed = static_cast<uint64_t>(run.options.seed);
  trial.fit = fit_options(setup, stage_of(setup, run));
  return trial;
}

void write_metrics(const Setup& setup, const StagePlan& stage, const HeadOutcome& outcome, store::RunFolder& folder) {
  for (const train::EpochRecord& epoch : outcome.epochs) {
    folder.add_metrics(metrics_json(stage, epoch, setup.target));
    folder.add_timing(io::Json{{"stage", stage.number}, {"epoch", epoch.epoch}, {"seconds", epoch.seconds}});
  }
}

/// What result.json says.
io::Json result_json(const Setup& setup, const HeadRun& run, const StagePlan& stage, const HeadOutcome& outcome,
                     const stats::Judgement& judged) {
  io::Json record = {{"format", "engraft-run"}, {"version", 1}};
  record.update(to_json(judged));
  const bool takes_last = run.options.select == "last";
  const train::EpochRecord& best = outcome.epochs[outcome.best];
  const train::EpochRecord& last = outcome.epochs.back();
  record["selected"] = text::cat("stage ", stage.number, ", epoch ", (takes_last ? last : best).epoch);
  io::Json of_stage = to_json(stage);
  of_stage["best"] = epoch_json(best);
  of_stage["last"] = epoch_json(last);
  if (outcome.is_cut_short) of_stage["stopped_early"] = true;
  record["stages"] = io::Json::array({of_stage});
  record["pictures_digest"] = data::rows_digest(setup.listing, setup.val_rows, setup.digests.files);
  record["skipped"] = setup.skipped.size();
  record["classes"] = setup.listing.classes.size();
  if (setup.target == Target::kRegression) record["target"] = {{"mean", setup.scale.mean}, {"std", setup.scale.std}};
  record["tap"] = setup.tap;
  record["platform"] = tensor::platform_text();
  record["device"] = setup.device.str();
  add_to(record, setup.precision);
  return record;
}

/// All files of a run's folder, result.json last.
void write_run(const Setup& setup, const HeadRun& run, const HeadTrial& trial, const HeadOutcome& outcome) {
  const StagePlan stage = stage_of(setup, run);
  store::RunFolder folder(run.out);
  io::Json record = run.record;
  record["resolved"] = resolved_json(setup);
  record["resolved"]["stages"] = io::Json::array({to_json(stage)});
  folder.write_text(kRunFile, io::to_toml(record));
  if (!setup.listing.classes.empty()) folder.write_text("classes.txt", text::join(setup.listing.classes, "\n") + "\n");
  write_metrics(setup, stage, outcome, folder);
  const stats::Answers answers = train::answers_of(outcome.outputs, trial.fit);
  Judged judged;
  judged.rows = setup.val_rows;
  judged.logits = answers.outputs;
  judged.width = answers.width;
  judged.target = setup.target;
  judged.scale = setup.scale;
  folder.write_text("predictions.csv", predictions_csv(setup.listing, judged, setup.listing.classes));
  if (!setup.skipped.empty()) folder.write_text("skipped.csv", skipped_csv(setup.skipped));
  store::write_tensors(folder.file("head.safetensors"), outcome.parameters);
  io::write_json(folder.file(kResultFile), result_json(setup, run, stage, outcome, stats::judge(answers)));
}

}  // namespace

void run_heads(const std::vector<HeadRun>& runs, const bool halves, Reporter& reporter, const HeadRunEnd& on_end) {
  Setup setup = set_up(runs.front().options, reporter);
  digests_of(setup);
  FrozenPart frozen(setup, reporter);
  frozen.first_pass();
  if (!frozen.has_features()) throw DataError("the features fit neither into memory nor into the cache on disk");
  const StageParts parts = head_parts(setup, frozen.features());
  std::vector<HeadTrial> trials;
  for (const HeadRun& run : runs) trials.push_back(trial_of(setup, run));
  StackOptions options;
  options.halves = halves;
  options.takes_last = runs.front().options.select == "last";
  const std::vector<HeadOutcome> outcomes = fit_heads(trials, *parts.train, *parts.val, options, reporter);
  for (size_t i = 0; i < runs.size(); ++i) {
    std::filesystem::remove_all(runs[i].out);
    if (outcomes[i].failure.empty()) write_run(setup, runs[i], trials[i], outcomes[i]);
    on_end(i, outcomes[i].failure);
  }
}

}  // namespace engraft::finetune
