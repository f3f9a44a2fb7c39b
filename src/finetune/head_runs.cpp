#include "finetune/head_runs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
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

/// The head's stage as the run has it. Throws as plan_stages.
StagePlan stage_of(const Setup& setup, const HeadRun& run) {
  return plan_stages(run.options, setup.body, setup.tap).front();
}

/// Options that the runs may differ in as they are by default: nothing of one run decides how the others begin.
TrainOptions neutral(TrainOptions options) {
  const OptimizerOptions plain;
  OptimizerOptions& own = options.optimizer;
  options.head.clear();
  own.learning_rate = plain.learning_rate;
  own.weight_decay = plain.weight_decay;
  own.schedule = plain.schedule;
  own.warmup_epochs = plain.warmup_epochs;
  own.schedule_factor = plain.schedule_factor;
  own.schedule_epochs = plain.schedule_epochs;
  own.patience = plain.patience;
  return options;
}

/// Throws UsageError for options that `train` refuses.
HeadTrial trial_of(const Setup& setup, const HeadRun& run) {
  HeadTrial trial;
  trial.head = setup.head.options();
  trial.head.spec = run.options.head;
  trial.head.seed = static_cast<uint64_t>(run.options.seed);
  trial.fit = fit_options(setup, stage_of(setup, run));
  const model::Head made(trial.head);  // for what it throws
  const double decay = trial.fit.optimizer.weight_decay;
  if (!std::isfinite(static_cast<float>(decay)))
    throw UsageError(text::cat("weight_decay ", text::shortest(decay), ": is more than float32 has"));
  train::rate_at(trial.fit.schedule, 0);
  return trial;
}

void write_metrics(const Setup& setup, const StagePlan& stage, const HeadOutcome& outcome, store::RunFolder& folder) {
  std::vector<io::Json> metrics, timings;
  for (const train::EpochRecord& epoch : outcome.epochs) {
    metrics.push_back(metrics_json(stage, epoch, setup.target));
    timings.push_back(timing_json(stage, epoch));
  }
  folder.add_epochs(metrics, timings);
}

/// Weights, gradients, two slots of the optimiser and the best epoch's copy, and what this epoch and the best one gave
/// for the validation pictures, of all heads that learn at the same time.
constexpr double kMostBytes = 2.0 * (1 << 30);
constexpr double kCopies = 5, kOutputCopies = 2;

/// As many trials as stand in one stack; a matter of heads and data alone, so that the same trials stand together
/// everywhere.
size_t heads_at_once(const HeadTrial& trial, size_t val_rows) {
  double parameters = 0;
  const model::Head head(trial.head);
  for (const tensor::NamedTensor& item : head.parameters()) parameters += static_cast<double>(item.value.numel());
  const double outputs = static_cast<double>(trial.head.outputs) * static_cast<double>(val_rows);
  return static_cast<size_t>(
      std::max(1.0, kMostBytes / (sizeof(float) * (kCopies * parameters + kOutputCopies * outputs))));
}

/// What result.json says. `seconds`: since the run before ended, so that those of a stack add up to what it took.
io::Json result_json(const Setup& setup, const HeadRun& run, const StagePlan& stage, const HeadOutcome& outcome,
                     const stats::Judgement& judged, double seconds) {
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
  if (outcome.is_halved) record["halved"] = true;
  record["stages"] = io::Json::array({of_stage});
  record["data_digest"] = setup.digests.contents;
  record["pictures_digest"] = data::rows_digest(setup.listing, setup.val_rows, setup.digests.files);
  record["skipped"] = setup.skipped.size();
  record["classes"] = setup.listing.classes.size();
  if (setup.target == Target::kRegression) record["target"] = {{"mean", setup.scale.mean}, {"std", setup.scale.std}};
  record["tap"] = setup.tap;
  record["platform"] = tensor::platform_text();
  record["device"] = setup.device.str();
  add_to(record, setup.precision);
  record["seconds"] = seconds;
  return record;
}

/// All files of a run's folder, result.json last.
void write_run(const Setup& setup, const HeadRun& run, const HeadTrial& trial, const HeadOutcome& outcome,
               const Stopwatch& watch) {
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
  io::write_json(folder.file(kResultFile),
                 result_json(setup, run, stage, outcome, stats::judge(answers), watch.seconds()));
}

}  // namespace

bool run_heads(const std::vector<HeadRun>& runs, bool halves, Reporter& reporter, const HeadRunEnd& on_end) {
  Stopwatch watch;
  Setup setup = set_up(neutral(runs.front().options), reporter);
  setup.test_rows.clear();  // judged where a model.pt is
  digests_of(setup);
  FrozenPart frozen(setup, reporter);
  frozen.first_pass();
  if (!frozen.has_features()) return false;
  const StageParts parts = head_parts(setup, frozen.features());
  std::vector<size_t> sound;  // places of runs that can be trained
  std::vector<HeadTrial> trials;
  for (size_t i = 0; i < runs.size(); ++i) {
    try {
      trials.push_back(trial_of(setup, runs[i]));
      sound.push_back(i);
    } catch (const UsageError& error) {
      if (!runs[i].is_done) on_end(i, error.what());
    }
  }
  if (sound.empty()) return true;
  StackOptions options;
  options.halves = halves;
  options.takes_last = runs.front().options.select == "last";
  const size_t at_once = heads_at_once(trials.front(), setup.val_rows.size());
  for (size_t begin = 0; begin < sound.size(); begin += at_once) {
    const size_t end = std::min(begin + at_once, sound.size());
    const bool is_done =
        std::all_of(sound.begin() + static_cast<std::ptrdiff_t>(begin),
                    sound.begin() + static_cast<std::ptrdiff_t>(end), [&](size_t run) { return runs[run].is_done; });
    if (is_done) continue;
    const std::vector<HeadTrial> some(trials.begin() + static_cast<std::ptrdiff_t>(begin),
                                      trials.begin() + static_cast<std::ptrdiff_t>(end));
    const std::vector<HeadOutcome> outcomes = fit_heads(some, *parts.train, *parts.val, options, reporter);
    for (size_t i = begin; i < end; ++i) {
      const HeadOutcome& outcome = outcomes[i - begin];
      const HeadRun& run = runs[sound[i]];
      if (run.is_done) continue;
      std::filesystem::remove_all(run.out);
      if (outcome.failure.empty()) write_run(setup, run, trials[i], outcome, watch);
      watch = Stopwatch();
      on_end(sound[i], outcome.failure);
    }
  }
  return true;
}

}  // namespace engraft::finetune
