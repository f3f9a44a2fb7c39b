#include "finetune/run.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/frozen.h"
#include "finetune/judge.h"
#include "finetune/sources.h"
#include "finetune/stage_plan.h"
#include "finetune/trainees.h"
#include "graph/probe.h"
#include "graph/surgery.h"
#include "io/digest.h"
#include "io/toml.h"
#include "model/backbone.h"
#include "model/preprocessing_source.h"
#include "store/feature_store.h"
#include "store/run_folder.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

/// model.pt keeps class names as JSON, which holds Unicode only. Throws DataError.
void check_classes(const std::vector<std::string>& classes) {
  for (const std::string& name : classes) {
    try {
      io::Json(name).dump();
    } catch (const nlohmann::json::exception&) {
      throw DataError("class '" + name + "': the name is not UTF-8; rename its folder");
    }
  }
}

constexpr double kMostDifference = 1e-5;  // of model.pt from memory, relative to the largest logit

/// Everything a run works with, set up by the constructor, which finds all that can be wrong before computing.
class Run {
 public:
  Run(const TrainOptions& options, const std::string& out, const io::Json& record, Reporter& reporter);
  TrainResult train();

 private:
  at::Tensor probe_tap();
  void read_features();
  void drop_bad(const std::vector<BadPicture>& bad);
  void train_head();
  void train_stage(const StagePlan& stage);
  void finish_stage(const StagePlan& stage, const train::FitResult& fitted, train::Trainee& trainee);
  train::FitOptions fit_options(const StagePlan& stage) const;
  std::function<void(const train::EpochRecord&)> recorder(const StagePlan& stage);
  std::string compose();
  double compare_with_memory(const model::Artifact& artifact);
  PassOptions pass(const std::string& what) const { return {options_.compute.loader_threads, what}; }

  const TrainOptions& options_;
  Reporter& reporter_;
  const c10::Device device_;
  data::Listing listing_;
  std::vector<int64_t> train_rows_, val_rows_, test_rows_;
  std::optional<model::Backbone> backbone_;
  std::string tap_;
  torch::jit::Module body_;  // the backbone up to the tap
  std::vector<StagePlan> stages_;
  engine::EngineOptions engine_options_;
  std::optional<model::Head> head_;
  model::Pool pool_;
  at::Tensor train_features_, val_features_;
  std::vector<BadPicture> skipped_;
  std::string out_, run_toml_;
  std::optional<store::RunFolder> folder_;
  io::Json stage_records_ = io::Json::array();
  std::string summary_;
  std::string selected_;
  Stopwatch watch_;
};

Run::Run(const TrainOptions& options, const std::string& out, const io::Json& record, Reporter& reporter)
    : options_(options),
      reporter_(reporter),
      device_(tensor::device_from_text(options.compute.device)),
      pool_(model::pool_from_text(options.pool)) {
  store::require_free_folder(out);
  out_ = out;
  tensor::set_compute_threads(options.compute.threads);
  listing_ = data::list_data(options.data.data, {options.data.val_fraction, true, {}});
  for (const std::string& note : listing_.notes) reporter.note(note);
  const size_t classes = listing_.classes.size();
  if (options.loss == "sigmoid" && classes != 2) {
    throw UsageError(text::cat("--loss sigmoid: one logit tells two classes apart, the data have ", classes));
  }
  if (options.epochs == 0 && options.stage.empty()) throw UsageError("nothing to train: --epochs 0 and no --stage");
  train_rows_ = data::rows_of(listing_, "train");
  val_rows_ = data::rows_of(listing_, "val");
  test_rows_ = data::rows_of(listing_, "test");
  if (val_rows_.empty()) {
    throw DataError(options.data.data + ": no validation pictures; add a val/ folder or raise --val-fraction");
  }

  backbone_ = model::load_backbone({options.backbone, options.compute.trust, options.preprocessing});
  const std::vector<std::string> taps = model::resolve_taps(*backbone_, options.tap);
  if (taps.size() != 1) throw UsageError("--tap: train takes one block, found '" + options.tap + "'");
  tap_ = taps.front();
  body_ = graph::extract(backbone_->module, {tap_});
  stages_ = plan_stages(options, graph::analyse(body_, {tap_}));
  engine_options_ = {backbone_->preprocessing, options.data.batch, device_};

  check_classes(listing_.classes);
  const std::string batch_problem = graph::check_batch(body_, model::probe_input(backbone_->preprocessing, 1));
  if (!batch_problem.empty()) throw ModelError(options.backbone + ": " + batch_problem);
  for (const StagePlan& stage : stages_) {
    if (!stage.freeze.learning.empty() && model::learning_parameters(body_, stage.freeze).empty()) {
      throw UsageError(text::cat("--stage (stage ", stage.number, "): unfreeze=", stage.unfreeze, " names ",
                                 text::join(stage.freeze.learning, " "), ", which have nothing to learn"));
    }
  }
  const at::Tensor map = probe_tap();                      // [1, C, H, W]
  const at::Tensor embedding = model::pooled(map, pool_);  // [1, D]
  if (embedding.dim() != 2) {
    throw ModelError(text::cat(options.backbone, ": tap ", tap_, " gives ", text::shape(map.sizes().vec()),
                               ", which --pool ", options.pool,
                               " does not make a row; use --pool flatten or another tap"));
  }
  model::HeadOptions head;
  head.embedding_dim = embedding.size(1);
  head.outputs = options.loss == "sigmoid" ? 1 : static_cast<int64_t>(classes);
  head.spec = options.head;
  head.seed = static_cast<uint64_t>(options.seed);
  head_.emplace(head);
  head_->to(device_);

  reporter.note("backbone: " + options.backbone + ", tap " + tap_ + " " + text::shape(map.sizes().vec()));
  reporter.note("pictures: " + backbone_->preprocessing_source);
  reporter.note("head: " + model::describe(*head_) + ", " + options.pool + " pool");
  reporter.note(text::cat("data: ", classes, " classes, ", train_rows_.size(), " training, ", val_rows_.size(),
                          " validation", test_rows_.empty() ? "" : text::cat(", ", test_rows_.size(), " test"),
                          " pictures"));
  io::Json resolved = {{"backbone_sha256", backbone_->sha256},
                       {"tap", tap_},
                       {"preprocessing", model::to_json(backbone_->preprocessing)},
                       {"platform", tensor::platform_text()},
                       {"device", device_.str()}};
  resolved["stages"] = io::Json::array();
  for (const StagePlan& stage : stages_) resolved["stages"].push_back(to_json(stage));
  io::Json toml = record;
  toml["resolved"] = resolved;
  run_toml_ = io::to_toml(toml);
}

/// The tap's feature map of one grey picture.
at::Tensor Run::probe_tap() {
  const engine::EngineOptions one{backbone_->preprocessing, 1, c10::Device(c10::kCPU)};
  const std::vector<uint8_t> grey(static_cast<size_t>(one.preprocessing.size_px) * one.preprocessing.size_px * 3, 128);
  return engine::make_torch_engine(body_, "forward", one)->run(grey.data()).front();
}

void Run::drop_bad(const std::vector<BadPicture>& bad) {
  if (bad.empty()) return;
  for (const BadPicture& picture : bad) reporter_.warn(picture.image_path + ": " + picture.reason);
  if (!options_.skip_bad) {
    throw DataError(text::cat(options_.data.data, ": ", text::count_of(static_cast<int64_t>(bad.size()), "picture"),
                              " cannot be read, named above, first ", bad.front().image_path,
                              "; mend or remove them, or go on without them by --skip-bad"));
  }
  skipped_.insert(skipped_.end(), bad.begin(), bad.end());
  const auto is_bad = [&](int64_t row) {
    return std::any_of(bad.begin(), bad.end(), [&](const BadPicture& picture) { return picture.row == row; });
  };
  for (std::vector<int64_t>* rows : {&train_rows_, &val_rows_, &test_rows_}) {
    rows->erase(std::remove_if(rows->begin(), rows->end(), is_bad), rows->end());
  }
  if (train_rows_.empty() || val_rows_.empty()) throw DataError(options_.data.data + ": no readable pictures are left");
}

/// One pass over all training and validation pictures: their features for the head, and the list of bad ones.
void Run::read_features() {
  std::vector<int64_t> rows = train_rows_;
  rows.insert(rows.end(), val_rows_.begin(), val_rows_.end());
  const bool needs_features = options_.epochs > 0;
  std::vector<int64_t> only_read = test_rows_;
  if (!needs_features) only_read.insert(only_read.end(), rows.begin(), rows.end());
  std::vector<BadPicture> bad;
  if (!only_read.empty())
    bad = check_pictures(listing_, only_read, engine_options_, pass("reading pictures"), reporter_);
  if (!needs_features) {
    drop_bad(bad);
    return;
  }
  const auto engine = engine::make_torch_engine(body_, "forward", engine_options_);
  std::vector<at::Tensor> parts;
  const auto unread = forward_pass(
      listing_, rows, *engine, pass("computing features"),
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) {
        parts.push_back(model::pooled(outputs.front(), pool_).contiguous());  // [B, D]
      },
      reporter_);
  bad.insert(bad.end(), unread.begin(), unread.end());
  drop_bad(bad);
  const at::Tensor all = at::cat(parts);  // [train + val, D], without the bad ones
  train_features_ = all.narrow(0, 0, static_cast<int64_t>(train_rows_.size()));
  val_features_ = all.narrow(0, static_cast<int64_t>(train_rows_.size()), static_cast<int64_t>(val_rows_.size()));
}

train::FitOptions Run::fit_options(const StagePlan& stage) const {
  train::FitOptions fit;
  fit.epochs = stage.epochs;
  fit.batch_size = options_.data.batch;
  fit.optimizer = {stage.optimizer.optimizer, stage.optimizer.momentum, stage.optimizer.weight_decay};
  fit.schedule.shape = stage.optimizer.schedule;
  fit.schedule.learning_rate = stage.optimizer.learning_rate;
  fit.warmup_epochs = stage.optimizer.warmup_epochs;
  fit.seed = static_cast<uint64_t>(options_.seed);
  fit.stage = stage.number;
  fit.sigmoid = options_.loss == "sigmoid";
  return fit;
}

std::function<void(const train::EpochRecord&)> Run::recorder(const StagePlan& stage) {
  return [this, &stage](const train::EpochRecord& e) {
    folder_->add_metrics(io::Json{{"stage", stage.number},
                                  {"epoch", e.epoch},
                                  {"learning_rate", e.learning_rate},
                                  {"train_loss", e.train_loss},
                                  {"train_top1", e.train_top1},
                                  {"val_loss", e.val_loss},
                                  {"val_top1", e.val_top1}});
    folder_->add_timing(io::Json{{"stage", stage.number}, {"epoch", e.epoch}, {"seconds", e.seconds}});
    reporter_.note(text::cat("stage ", stage.number, " epoch ", e.epoch, ": train loss ", text::fixed(e.train_loss, 4),
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

/// Records a stage and leaves the trainee at the epoch that the next stage, or model.pt, takes.
void Run::finish_stage(const StagePlan& stage, const train::FitResult& fitted, train::Trainee& trainee) {
  const bool is_final = stage.number == stages_.back().number;
  const bool take_last = is_final && options_.select == "last";
  const train::EpochRecord& best = fitted.epochs[fitted.best];
  const train::EpochRecord& last = fitted.epochs.back();
  if (!take_last) tensor::restore(fitted.best_state, trainee.state());
  io::Json record = to_json(stage);
  record["best"] = epoch_json(best);
  record["last"] = epoch_json(last);
  stage_records_.push_back(record);
  selected_ = text::cat("stage ", stage.number, ", epoch ", (take_last ? last : best).epoch);
  const std::string learns =
      stage.freeze.learning.empty() ? "head alone" : "head and " + text::abridge(stage.freeze.learning, 4);
  summary_ += text::cat("stage ", stage.number, "  ", learns, "\n         ", epoch_text("best", best), "\n         ",
                        epoch_text("last", last), "\n");
}

void Run::train_head() {
  const StagePlan& stage = stages_.front();
  if (stage.epochs == 0) return;
  FeatureSource train(train_features_, labels_of(listing_, train_rows_, device_));
  FeatureSource val(val_features_, labels_of(listing_, val_rows_, device_));
  HeadTrainee trainee(*head_);
  const model::FrozenProof proof(body_, stage.freeze);
  const train::FitResult fitted = fit(trainee, train, val, fit_options(stage), reporter_, recorder(stage));
  finish_stage(stage, fitted, trainee);
  train_features_ = val_features_ = at::Tensor();
  const auto verdict = proof.check(body_);
  stage_records_.back()["frozen"] = frozen_json(proof, verdict);
  summary_ += "         " + frozen_text(verdict) + "\n";
  require_frozen(stage.number, verdict);
}

void Run::train_stage(const StagePlan& stage) {
  std::string trunk_method, top_method = "forward";  // no trunk: the pictures themselves
  if (!stage.cut.empty()) {
    const graph::Split split = graph::split(body_, stage.cut);
    trunk_method = split.trunk_method;
    top_method = split.top_method;
  }
  reporter_.note(text::cat("stage ", stage.number, ": unfreezes ", text::abridge(stage.freeze.learning, 6), "; cut at ",
                           stage.cut.empty() ? "the pictures" : stage.cut));
  if (!stage.cut_note.empty()) reporter_.warn(text::cat("stage ", stage.number, ": ", stage.cut_note));
  const auto engine = engine::make_torch_engine(body_, trunk_method, engine_options_);
  PictureSource train(listing_, train_rows_, *engine, options_.compute.loader_threads);
  PictureSource val(listing_, val_rows_, *engine, options_.compute.loader_threads);
  TopTrainee trainee(body_, top_method, stage.freeze, pool_, *head_);
  trainee.set_training(false);
  const model::FrozenProof proof(body_, stage.freeze);
  const train::FitResult fitted = fit(trainee, train, val, fit_options(stage), reporter_, recorder(stage));
  trainee.set_training(true);  // the modes as they were while weights moved
  const auto verdict = proof.check(body_);
  trainee.set_training(false);
  finish_stage(stage, fitted, trainee);
  stage_records_.back()["frozen"] = frozen_json(proof, verdict);
  summary_ += "         " + frozen_text(verdict) + "\n";
  require_frozen(stage.number, verdict);
}

std::string Run::compose() {
  model::GraftSpec spec;
  spec.backbone_path = options_.backbone;
  spec.trust = options_.compute.trust;
  spec.tap = tap_;
  spec.pool = pool_;
  spec.loss = model::loss_from_text(options_.loss);
  spec.preprocessing = backbone_->preprocessing;
  spec.classes = listing_.classes;
  model::FreezePlan ever;  // every block that learned in some stage
  for (const StagePlan& stage : stages_) {
    ever.learning.insert(ever.learning.end(), stage.freeze.learning.begin(), stage.freeze.learning.end());
  }
  spec.trained = model::learning_tensors(body_, ever);
  spec.backbone_sha256 = backbone_->sha256;
  return model::compose_model(spec, *head_);
}

/// Logits of the first validation pictures from what is in memory and from the reloaded file.
double Run::compare_with_memory(const model::Artifact& artifact) {
  const std::vector<int64_t> rows(
      val_rows_.begin(),
      val_rows_.begin() + std::min<std::ptrdiff_t>(options_.data.batch, static_cast<std::ptrdiff_t>(val_rows_.size())));
  const auto engine = engine::make_torch_engine(body_, "forward", engine_options_);
  at::Tensor memory;
  SilentReporter silent;
  forward_pass(
      listing_, rows, *engine, pass("comparing"),
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) {
        c10::NoGradGuard no_grad;
        memory = head_->forward(model::pooled(outputs.front(), pool_)).to(at::kCPU);  // [B, K]
      },
      silent);
  const Judged reloaded = judge(artifact, listing_, rows, engine_options_, pass("comparing"), silent);
  const at::Tensor file = at::tensor(reloaded.logits).view({-1, reloaded.width});
  const double difference = tensor::relative_difference(file, memory);
  if (!(difference <= kMostDifference)) {
    throw SystemError(text::cat("model.pt differs from the trained network by ", difference, " (relative, at most ",
                                kMostDifference, ")"));
  }
  return difference;
}

TrainResult Run::train() {
  read_features();
  // Not before the pictures are known to be readable: a refused data set leaves no folder in the way of the next try.
  folder_.emplace(out_);
  folder_->write_text("run.toml", run_toml_);
  folder_->write_text("classes.txt", text::join(listing_.classes, "\n") + "\n");
  train_head();
  for (size_t i = 1; i < stages_.size(); ++i) train_stage(stages_[i]);

  const std::string bytes = compose();
  folder_->write_text("model.pt", bytes);
  const model::Artifact artifact = model::load_artifact(folder_->file("model.pt"), options_.compute.trust);
  const double difference = compare_with_memory(artifact);
  const Judged judged = judge(artifact, listing_, val_rows_, engine_options_, pass("validating model.pt"), reporter_);
  if (!judged.bad.empty()) {
    throw DataError(judged.bad.front().image_path +
                    ": was readable at the start of the run and is not any more: " + judged.bad.front().reason);
  }
  folder_->write_text("predictions.csv", predictions_csv(listing_, judged, listing_.classes));
  if (!skipped_.empty()) folder_->write_text("skipped.csv", skipped_csv(skipped_));

  const stats::Classification result = classify(listing_, judged);
  io::Json record = {{"format", "engraft-run"}, {"version", 1}};
  record.update(to_json(result));
  record["selected"] = selected_;
  record["stages"] = stage_records_;
  summary_ += text::cat(
      "model.pt ", text::bytes(static_cast<double>(bytes.size())), ", ", selected_, "; reloaded: top1 ",
      text::fixed(100 * result.top1, 2), " %, loss ", text::fixed(result.loss, 4), " on ", result.rows,
      " validation pictures; differs from memory by ", difference == 0 ? "nothing" : text::cat(difference), "\n");
  if (!test_rows_.empty()) {
    const Judged tested = judge(artifact, listing_, test_rows_, engine_options_, pass("testing"), reporter_);
    const stats::Classification test = classify(listing_, tested);
    record["test"] = to_json(test);
    summary_ += text::cat("test     top1 ", text::fixed(100 * test.top1, 2), " %, loss ", text::fixed(test.loss, 4),
                          " on ", test.rows, " pictures\n");
  }
  record["skipped"] = skipped_.size();
  record["classes"] = listing_.classes.size();
  record["tap"] = tap_;
  record["model_sha256"] = io::sha256(bytes);
  record["memory_difference"] = difference;
  record["platform"] = tensor::platform_text();
  record["device"] = device_.str();
  record["seconds"] = watch_.seconds();
  io::write_json(folder_->file("result.json"), record);
  return {io::json_line(record), summary_};
}

}  // namespace

TrainResult run_training(const TrainOptions& options, const std::string& out, const io::Json& record,
                         Reporter& reporter) {
  return Run(options, out, record, reporter).train();
}

}  // namespace engraft::finetune
