#include "finetune/run.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/judge.h"
#include "finetune/setup.h"
#include "finetune/stages.h"
#include "io/digest.h"
#include "io/toml.h"
#include "store/out_folder.h"
#include "store/run_folder.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr double kMostDifference = 1e-5;  // of model.pt from memory, relative to the largest logit

PassOptions pass(const Setup& setup, const std::string& what) { return {setup.options.compute.loader_threads, what}; }

/// Reads all pictures once: those whose features the head is trained on run through the body, the others are only
/// decoded. Bad ones are dropped.
Features read_features(Setup& setup, Reporter& reporter) {
  std::vector<int64_t> rows = setup.train_rows;
  rows.insert(rows.end(), setup.val_rows.begin(), setup.val_rows.end());
  const bool needs_features = setup.options.epochs > 0;
  std::vector<int64_t> only_read = setup.test_rows;
  if (!needs_features) only_read.insert(only_read.end(), rows.begin(), rows.end());
  std::vector<BadPicture> bad;
  if (!only_read.empty()) {
    bad = check_pictures(setup.listing, only_read, setup.engine_options, pass(setup, "reading pictures"), reporter);
  }
  std::vector<at::Tensor> parts;
  if (needs_features) {
    const auto engine = engine::make_torch_engine(setup.body, "forward", setup.engine_options);
    const auto unread = forward_pass(
        setup.listing, rows, *engine, pass(setup, "computing features"),
        [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) {
          parts.push_back(model::pooled(outputs.front(), setup.pool).contiguous());  // [B, D]
        },
        reporter);
    bad.insert(bad.end(), unread.begin(), unread.end());
  }
  drop_bad(setup, bad, reporter);
  if (!needs_features) return {};
  const at::Tensor all = at::cat(parts);  // [train + val, D], without the bad ones
  const auto train_count = static_cast<int64_t>(setup.train_rows.size());
  return {all.narrow(0, 0, train_count), all.narrow(0, train_count, static_cast<int64_t>(setup.val_rows.size()))};
}

std::string compose(const Setup& setup) {
  model::GraftSpec spec;
  spec.backbone_path = setup.options.backbone;
  spec.trust = setup.options.compute.trust;
  spec.tap = setup.tap;
  spec.pool = setup.pool;
  spec.loss = model::loss_from_text(setup.options.loss);
  spec.preprocessing = setup.backbone.preprocessing;
  spec.classes = setup.listing.classes;
  if (setup.listing.is_split_by_hash) {
    spec.hash_split = model::HashSplit{setup.options.val_fraction, data::paths_digest(setup.listing, "train")};
  }
  model::FreezePlan ever;  // every block that learned in some stage
  for (const StagePlan& stage : setup.stages) {
    ever.learning.insert(ever.learning.end(), stage.freeze.learning.begin(), stage.freeze.learning.end());
  }
  spec.trained = model::learning_tensors(setup.body, ever);
  spec.backbone_sha256 = setup.backbone.sha256;
  return model::compose_model(spec, setup.head);
}

/// Pictures that were readable when the run began are expected to stay so.
void require_readable(const std::vector<BadPicture>& bad) {
  if (bad.empty()) return;
  throw DataError(bad.front().image_path +
                  ": was readable at the start of the run and is not any more: " + bad.front().reason);
}

Judged judge_readable(const Setup& setup, const model::Artifact& artifact, const std::vector<int64_t>& rows,
                      const std::string& what, Reporter& reporter) {
  Judged judged = judge(artifact, setup.listing, rows, setup.engine_options, pass(setup, what), reporter);
  require_readable(judged.bad);
  return judged;
}

/// The reloaded file's logits of the first validation pictures against those of what is in memory.
double compare_with_memory(const Setup& setup, const Judged& reloaded) {
  const auto count = std::min(setup.engine_options.batch_size, static_cast<int64_t>(setup.val_rows.size()));
  const std::vector<int64_t> rows(setup.val_rows.begin(), setup.val_rows.begin() + count);
  const auto engine = engine::make_torch_engine(setup.body, "forward", setup.engine_options);
  at::Tensor memory;
  SilentReporter silent;
  const auto bad = forward_pass(
      setup.listing, rows, *engine, pass(setup, "comparing"),
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) {
        c10::NoGradGuard no_grad;
        memory = setup.head.forward(model::pooled(outputs.front(), setup.pool)).to(at::kCPU);  // [B, K]
      },
      silent);
  require_readable(bad);
  const at::Tensor file = at::tensor(reloaded.logits).view({-1, reloaded.width}).narrow(0, 0, count);
  const double difference = tensor::relative_difference(file, memory);
  if (!(difference <= kMostDifference)) {
    throw SystemError(text::cat("model.pt differs from the trained network by ", difference, " (relative, at most ",
                                kMostDifference, ")"));
  }
  return difference;
}

std::string result_text(const char* what, const stats::Classification& result, const char* pictures) {
  return text::cat(what, "top1 ", text::fixed(100 * result.top1, 2), " %, loss ", text::fixed(result.loss, 4), " on ",
                   result.rows, pictures);
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

/// All that follows from model.pt as it was reloaded: predictions, result.json, the summary's last lines.
TrainResult finish(const Setup& setup, const std::vector<StageOutcome>& stages, const store::RunFolder& folder,
                   const Stopwatch& watch, Reporter& reporter) {
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
  const stats::Classification result = classify(setup.listing, judged);
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
    const stats::Classification test =
        classify(setup.listing, judge_readable(setup, artifact, setup.test_rows, "testing", reporter));
    record["test"] = to_json(test);
    out.summary += result_text("test     ", test, " pictures\n");
  }
  record["skipped"] = setup.skipped.size();
  record["classes"] = setup.listing.classes.size();
  record["tap"] = setup.tap;
  record["model_sha256"] = io::sha256(bytes);
  record["memory_difference"] = difference;
  record["platform"] = tensor::platform_text();
  record["device"] = setup.device.str();
  record["seconds"] = watch.seconds();
  io::write_json(folder.file(store::kResultFile), record);
  out.result_json = io::json_line(record);
  return out;
}

}  // namespace

TrainResult run_training(const TrainOptions& options, const std::string& out, const io::Json& record,
                         Reporter& reporter) {
  const Stopwatch watch;
  store::require_free_folder(out);
  Setup setup = set_up(options, reporter);
  io::Json run_toml = record;
  run_toml["resolved"] = resolved_json(setup);
  Features features = read_features(setup, reporter);
  // Not before the pictures are known to be readable: a refused data set leaves no folder in the way of the next try.
  store::RunFolder folder(out);
  folder.write_text(store::kRunFile, io::to_toml(run_toml));
  folder.write_text("classes.txt", text::join(setup.listing.classes, "\n") + "\n");

  std::vector<StageOutcome> stages;
  if (options.epochs > 0) stages.push_back(train_head(setup, features, folder, reporter));
  features = {};
  for (size_t i = 1; i < setup.stages.size(); ++i) {
    stages.push_back(train_stage(setup, setup.stages[i], folder, reporter));
  }
  return finish(setup, stages, folder, watch, reporter);
}

}  // namespace engraft::finetune
