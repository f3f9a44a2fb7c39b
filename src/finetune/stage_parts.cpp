#include "finetune/stage_parts.h"

#include <c10/core/GradMode.h>

#include <numeric>
#include <tuple>
#include <utility>

#include "base/random.h"
#include "base/stop.h"
#include "base/text.h"
#include "finetune/sources.h"
#include "finetune/stage_fit.h"
#include "finetune/trainees.h"
#include "graph/surgery.h"
#include "model/norm_recalibration.h"

namespace engraft::finetune {

namespace {

/// Training and validation batches from rows in the setup's order.
std::pair<std::unique_ptr<train::BatchSource>, std::unique_ptr<train::BatchSource>> rows_sources(
    const Setup& setup, const store::ActivationRows& rows) {
  const auto train_count = static_cast<int64_t>(setup.train_rows.size()) * setup.views.count;
  const auto val_count = static_cast<int64_t>(setup.val_rows.size());
  const LabelForm form{setup.target, setup.scale};
  return {std::make_unique<RowsSource>(rows.slice(0, train_count), SourceRows{setup.train_rows, setup.views},
                                       labels_of(setup.listing, setup.train_rows, form, setup.device)),
          std::make_unique<RowsSource>(rows.slice(train_count, val_count), SourceRows{setup.val_rows},
                                       labels_of(setup.listing, setup.val_rows, form, setup.device))};
}

/// The same from pictures, with the trunk on the fly.
void add_picture_sources(const Setup& setup, const StagePlan& stage, const std::string& trunk_method,
                         StageParts& parts) {
  parts.engine = engine::make_engine(setup.body, trunk_method, setup.engine_options);
  PictureSource::Options options;
  options.labels = {setup.target, setup.scale};
  options.loader_threads = setup.options.compute.loader_threads;
  parts.val = std::make_unique<PictureSource>(setup.listing, SourceRows{setup.val_rows}, *parts.engine, options);
  options.mix = stage.mix;
  options.seed = mix(static_cast<uint64_t>(setup.options.seed), static_cast<uint64_t>(stage.number));
  parts.train =
      std::make_unique<PictureSource>(setup.listing, SourceRows{setup.train_rows, setup.views}, *parts.engine, options);
}

/// Whether they are in memory or not decides where a head learns, and must not decide what it hears.
bool add_lessons(const Setup& setup, const StagePlan& stage, StageParts& parts) {
  if (!setup.teacher || !is_taught(*setup.teacher, stage)) return false;
  parts.train = std::make_unique<TaughtSource>(std::move(parts.train), setup.teacher->lessons);
  return true;
}

}  // namespace

StageParts head_parts(Setup& setup, const store::ActivationRows& features) {
  StageParts parts;
  std::tie(parts.train, parts.val) = rows_sources(setup, features);
  add_lessons(setup, setup.stages.front(), parts);
  parts.trainee = std::make_unique<HeadTrainee>(setup.head);
  parts.seen_in_train_mode = [] { return std::vector<std::string>(); };
  return parts;
}

StageParts top_parts(Setup& setup, const StagePlan& stage, const std::optional<store::ActivationRows>& activations,
                     Reporter& reporter) {
  std::string trunk_method, top_method = "forward";  // no trunk: the pictures themselves
  if (!stage.cut.empty()) {
    const graph::Split split = graph::split(setup.body, stage.cut);
    trunk_method = split.trunk_method;
    top_method = split.top_method;
  }
  const std::string learning =
      stage.freeze.learning.empty() ? "the head alone" : text::abridge(stage.freeze.learning, 6);
  reporter.note(text::cat("stage ", stage.number, ": unfreezes ", learning, "; cut at ",
                          stage.cut.empty() ? "the pictures" : stage.cut));
  if (!stage.cut_note.empty()) reporter.warn(text::cat("stage ", stage.number, ": ", stage.cut_note));
  StageParts parts;
  if (activations) {
    std::tie(parts.train, parts.val) = rows_sources(setup, *activations);
  } else {
    add_picture_sources(setup, stage, trunk_method, parts);
  }
  const bool is_taught = add_lessons(setup, stage, parts);
  engine::prepare_module(setup.body, setup.device);
  auto trainee = std::make_unique<TopTrainee>(setup.body, top_method, stage.freeze, setup.pool, setup.head,
                                              block_scales(setup, stage));
  const tensor::Precision precision = setup.engine_options.precision;  // int8: the head alone learns
  trainee->compute_in(precision == tensor::Precision::kInt8 ? tensor::Precision::kFloat32 : precision);
  if (is_taught && setup.teacher->projection) trainee->imitate_by(*setup.teacher->projection);
  trainee->set_training(false);
  parts.seen_in_train_mode = [top = trainee.get()] { return top->frozen_seen_in_train_mode(); };
  parts.trainee = std::move(trainee);
  return parts;
}

void recalibrate_norms(Setup& setup, const StagePlan& stage, StageParts& parts) {
  if (stage.freeze.norms != model::NormPolicy::kRecalibrate) return;
  model::NormRecalibration recalibration(setup.body, stage.freeze);
  std::vector<int64_t> order(static_cast<size_t>(parts.train->rows()));
  std::iota(order.begin(), order.end(), 0);
  parts.train->start(order, 0, setup.engine_options.batch_size);  // unmixed
  const c10::NoGradGuard no_grad;
  train::TrainBatch batch;
  while (parts.train->next(batch)) {
    throw_if_stopped("recalibrating norms");
    recalibration.before_batch();
    parts.trainee->forward(batch.inputs);
    recalibration.after_batch(batch.labels.size(0));
  }
  recalibration.finish();
}

}  // namespace engraft::finetune
