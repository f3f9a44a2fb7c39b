#include "finetune/run.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/frozen_part.h"
#include "finetune/judge.h"
#include "finetune/rate_trial.h"
#include "finetune/resume.h"
#include "finetune/setup.h"
#include "finetune/stages.h"
#include "io/digest.h"
#include "io/toml.h"
#include "store/checkpoint.h"
#include "store/folder_lock.h"
#include "store/out_folder.h"
#include "store/run_folder.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr double kMostDifference = 1e-5;  // of model.pt from memory, relative to the largest logit

constexpr size_t kSampledPaths = 64;

PassOptions pass(const Setup& setup, const std::string& what) { return {setup.options.compute.loader_threads, what}; }

std::string compose(const Setup& setup) {
  model::GraftSpec spec;
  spec.backbone_path = setup.options.backbone;
  spec.trust = setup.options.compute.trust;
  spec.tap = setup.tap;
  spec.pool = setup.pool;
  spec.target = setup.target;
  spec.scale = setup.scale;
  spec.preprocessing = setup.backbone.preprocessing;
  spec.classes = setup.listing.classes;
  if (setup.listing.is_split_by_hash) spec.training_data.val_fraction = setup.options.val_fraction;
  spec.training_data.path_sample = data::path_sample(setup.listing, setup.train_rows, kSampledPaths);
  model::FreezePlan ever;  // every block that learned in some stage
  for (const StagePlan& stage : setup.stages) {
    ever.learning.insert(ever.learning.end(), stage.freeze.learning.begin(), stage.freeze.learning.end());
  }
  spec.trained = model::learning_tensors(setup.body, ever);
  spec.backbone_sha256 = setup.backbone.sha256;
  spec.seed = static_cast<uint64_t>(setup.options.seed);
  return model::compose_model(spec, setup.head);
}

/// What was trained in bf16, or on what another engine gave, is judged by LibTorch in float32: model.pt holds float32
/// weights, and evaluate, predict and Python are to find on any machine what result.json says; between file and memory
/// other rounding would hide a difference.
std::unique_ptr<engine::Engine> judging_engine(const Setup& setup, const torch::jit::Module& module, int64_t pictures,
                                               Reporter& reporter) {
  const engine::EngineOptions& used = setup.engine_options;
  return choose_judging_engine("auto", module, {used.preprocessing, used.batch_size, used.device}, pictures, reporter);
}

Judged judge_readable(const Setup& setup, const model::Artifact& artifact, const std::vector<int64_t>& rows,
                      const std::string& what, Reporter& reporter) {
  const auto engine = judging_engine(setup, artifact.module, static_cast<int64_t>(rows.size()), reporter);
  Judged judged = judge(artifact, setup.listing, rows, *engine, pass(setup, what), reporter);
  require_readable(judged.bad);
  return judged;
}

/// The reloaded file's logits of the first validation pictures against those of what is in memory.
double compare_with_memory(const Setup& setup, const Judged& reloaded) {
  const auto count = std::min(setup.engine_options.batch_size, static_cast<int64_t>(setup.val_rows.size()));
  const std::vector<int64_t> rows(setup.val_rows.begin(), setup.val_rows.begin() + count);
  SilentReporter silent;
  const auto engine = judging_engine(setup, setup.body, static_cast<int64_t>(setup.val_rows.size()), silent);
  at::Tensor memory;
  const auto bad = forward_pass(
      setup.listing, rows, *engine, pass(setup, "comparing"),
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) {
        c10::NoGradGuard no_grad;
        memory = setup.head.forward(model::pooled(outputs.front(), setup.pool)).to(at::kCPU);  // [B, K]
      },
      silent);
  require_readable(bad);
  if (setup.target == Target::kRegression) {
    memory = memory * static_cast<float>(setup.scale.std) + static_cast<float>(setup.scale.mean);
  }
  const at::Tensor file = at::tensor(reloaded.logits).view({-1, reloaded.width}).narrow(0, 0, count);
  const double difference = tensor::relative_difference(file, memory);
  if (!(difference <= kMostDifference)) {
    throw SystemError(text::cat("model.pt differs from the trained network by ", difference, " (relative, at most ",
                                kMostDifference, ")"));
  }
  return difference;
}

std::string result_text(const char* what, const stats::Judgement& result, const char* pictures) {
  return text::cat(what, figures_text(to_json(result)), " on ", result.rows, pictures);
}

/// model.pt holds the last stage; an earlier one may have been better, by what decides between epochs.
void warn_of_a_better_stage(const std::vector<StageOutcome>& stages, Target target, Reporter& reporter) {
  const std::string merit = stats::merit_name(target);
  const io::Json& last = stages.back().record.at("best");
  for (const StageOutcome& stage : stages) {
    const io::Json& best = stage.record.at("best");
    const bool is_by_loss = merit.empty() || best.at(merit) == last.at(merit);
    if (is_by_loss ? best.at("loss") >= last.at("loss") : best.at(merit) < last.at(merit)) continue;
    const auto value = [&](const io::Json& epoch) {
      return is_by_loss ? text::fixed(epoch.at("loss").get<double>(), 4)
                        : stats::value_text(merit, epoch.at(merit).get<double>());
    };
    reporter.warn(
        text::cat("stage ", stage.record.at("stage").dump(),
                  " was better than the last one, which model.pt holds: ", is_by_loss ? "loss" : stats::title_of(merit),
                  " ", value(best), " against ", value(last), "; a lower learning_rate, or fewer stages, may help"));
    return;
  }
}

/// Takes model.pt away again unless it was found good.
class Provisional {
 public:
  explicit Provisional(std::string path) : path_(std::move(path)) {}
  ~Provisional() {
    std::error_code unknown;
    if (!path_.empty()) std::filesystem::remove(path_, unknown);
  }
  Provisional(const Provisional&) = delete;
  Provisional& operator=(const Provisional&) = delete;
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

/// Of this process.
struct Times {
  Stopwatch whole;
  double first_pass = 0;  // seconds: reading the pictures, and what the frozen blocks make of them
};

/// All that follows from model.pt as it was reloaded: predictions, result.json, the summary's last lines.
TrainResult finish(const Setup& setup, const std::vector<StageOutcome>& stages, const store::RunFolder& folder,
                   const Times& times, Reporter& reporter) {
  const std::string bytes = compose(setup);
  folder.write_text("model.pt", bytes);
  Provisional model_file(folder.file("model.pt"));
  const model::Artifact artifact = model::load_artifact(folder.file("model.pt"), setup.options.compute.trust);
  const Judged judged = judge_readable(setup, artifact, setup.val_rows, "validating model.pt", reporter);
  const double difference = compare_with_memory(setup, judged);
  model_file.keep();
  folder.write_text("predictions.csv", predictions_csv(setup.listing, judged, setup.listing.classes));
  if (!setup.skipped.empty()) folder.write_text("skipped.csv", skipped_csv(setup.skipped));

  TrainResult out;
  const stats::Judgement result = stats::judge(answers_of(setup.listing, judged));
  io::Json record = {{"format", "engraft-run"}, {"version", 1}};
  record.update(to_json(result));
  record["selected"] = stages.back().selected;
  record["stages"] = io::Json::array();
  for (const StageOutcome& stage : stages) {
    record["stages"].push_back(stage.record);
    out.summary += stage.summary;
  }
  out.summary += text::cat("model.pt ", text::bytes(static_cast<double>(bytes.size())), ", ", stages.back().selected,
                           result_text("; reloaded: ", result, " validation pictures"), "; differs from memory by ",
                           difference == 0 ? "nothing" : text::cat(difference), "\n");
  if (!setup.test_rows.empty()) {
    const stats::Judgement test =
        stats::judge(answers_of(setup.listing, judge_readable(setup, artifact, setup.test_rows, "testing", reporter)));
    record["test"] = to_json(test);
    out.summary += result_text("test     ", test, " pictures\n");
  }
  warn_of_a_better_stage(stages, setup.target, reporter);
  record["data_digest"] = setup.digests.contents;
  record["pictures_digest"] = data::rows_digest(setup.listing, setup.val_rows, setup.digests.files);
  record["skipped"] = setup.skipped.size();
  record["classes"] = setup.listing.classes.size();
  if (setup.target == Target::kRegression) record["target"] = {{"mean", setup.scale.mean}, {"std", setup.scale.std}};
  record["tap"] = setup.tap;
  record["model_sha256"] = io::sha256(bytes);
  record["memory_difference"] = difference;
  record["platform"] = tensor::platform_text();
  record["device"] = setup.device.str();
  add_to(record, setup.precision);
  record["seconds"] = times.whole.seconds();
  record["seconds_of_first_pass"] = times.first_pass;
  io::write_json(folder.file(kResultFile), record);
  out.result_json = io::json_line(record);
  return out;
}

}  // namespace

namespace {

/// What a finished run said when it ended; none of one that is not.
std::optional<TrainResult> finished_result(const std::string& out) {
  const std::string file = out + "/" + kResultFile, model = out + "/model.pt";
  if (!std::filesystem::exists(file)) return std::nullopt;
  store::remove_checkpoints(out);  // it may have been killed right before that
  if (!std::filesystem::exists(model)) {
    throw DataError(model + ": is missing, and the run finished: " + file + "; put it back, or remove " + out +
                    " and train again");
  }
  const io::Json record = io::read_json(file);
  try {
    return TrainResult{io::json_line(record), text::cat(out, ": finished before; ", figures_text(record), "\n")};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(file + ": " + error.what());
  }
}

int64_t steps_of(const Setup& setup, const StagePlan& stage) {
  const auto rows = static_cast<int64_t>(setup.train_rows.size());
  return (rows + setup.engine_options.batch_size - 1) / setup.engine_options.batch_size * stage.epochs;
}

/// All stages from the one that is to be trained on.
std::vector<StageOutcome> train_stages(Setup& setup, FrozenPart& frozen, const std::optional<Resumption>& resumption,
                                       store::RunFolder& folder, Reporter& reporter) {
  std::vector<StageOutcome> done;
  if (resumption) done = resumption->outcomes;
  const int64_t first = resumption ? resumption->stage : 1;
  int64_t steps_before = resumption ? resumption->steps_before : 0;
  for (const StagePlan& stage : setup.stages) {
    if (stage.number < first || stage.epochs == 0) continue;
    const bool goes_on = resumption && stage.number == first;
    const bool is_first = done.size() == (resumption ? resumption->outcomes.size() : 0);
    const StageContext context{folder, reporter, done, steps_before, is_first, goes_on ? &*resumption : nullptr};
    const bool is_on_features = stage.is_on_features() && frozen.has_features();
    StageOutcome outcome = is_on_features ? train_head(setup, frozen.features(), context)
                                          : train_stage(setup, stage, frozen.activations(stage), context);
    is_on_features ? frozen.drop_features() : frozen.drop_activations(stage);
    done.push_back(std::move(outcome));
    steps_before += steps_of(setup, stage);
  }
  return done;
}

store::RunFolder open_folder(const std::string& out, bool is_there, const std::optional<Resumption>& resumption) {
  if (!is_there) return store::RunFolder(out);
  return store::RunFolder(out, resumption ? resumption->epochs : 0);
}

}  // namespace

TrainResult run_training(const TrainOptions& options, const std::string& out, const io::Json& record,
                         Reporter& reporter) {
  Times times;
  if (options.find_lr && options.verify_resume > 0) throw UsageError("--find-lr has no checkpoint to verify");
  if (options.find_lr && options.resume) throw UsageError("--find-lr trains nothing that --resume could go on with");
  const bool is_there = options.resume && std::filesystem::exists(out + "/" + kRunFile);
  std::optional<store::FolderLock> lock;
  if (!is_there) {
    if (options.resume)
      store::remove_temporaries(out, kRunFile);  // of a run that was killed before its first file stood
    store::require_free_folder(out);
  } else {
    require_same_options(out, record);
    if (auto finished = finished_result(out)) return *finished;
    lock.emplace(out);
    if (auto finished = finished_result(out)) return *finished;  // by the process that held the lock
  }
  Setup setup = set_up(options, reporter);
  if (options.find_lr) return try_rates(setup, out, reporter);
  io::Json run_toml = record;
  run_toml["resolved"] = resolved_json(setup);
  std::optional<Resumption> resumption;
  setup.record = io::json_line(record);
  digests_of(setup);
  if (is_there) resumption = read_resumption(out, setup, reporter);
  if (is_there) {
    reporter.note(resumption ? text::cat("resumed: stage ", resumption->stage, ", step ",
                                         resumption->start.progress.step, " of it")
                             : "resumed: no whole checkpoint, from the beginning");
  }
  FrozenPart frozen(setup, reporter);
  try {
    const Stopwatch watch;
    frozen.first_pass(resumption ? resumption->stage : 1);
    take_lessons(setup, reporter);
    times.first_pass = watch.seconds();
  } catch (const Stopped& stopped) {
    throw Stopped(stopped.code(), stopped.what() + frozen.after_a_stop());
  }
  // Not before the pictures are known to be readable: a refused data set leaves no folder in the way of the next try.
  if (!lock) lock.emplace(out);
  store::RunFolder folder = open_folder(out, is_there, resumption);
  folder.write_text(kRunFile, io::to_toml(run_toml));  // the first file: by it a later --resume knows the run
  if (setup.target != Target::kRegression) {
    folder.write_text("classes.txt", text::join(setup.listing.classes, "\n") + "\n");
  }
  try {
    const std::vector<StageOutcome> stages = train_stages(setup, frozen, resumption, folder, reporter);
    TrainResult result = finish(setup, stages, folder, times, reporter);
    store::remove_checkpoints(out);
    return result;
  } catch (const Stopped& stopped) {
    throw Stopped(stopped.code(), std::string(stopped.what()) + "; the same command with --resume goes on");
  }
}

}  // namespace engraft::finetune
