#include "finetune/teacher.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/setup.h"
#include "graph/surgery.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/new_networks.h"

namespace engraft::finetune {

namespace {

/// Every line begins with whom it is about.
class TeacherReporter : public Reporter {
 public:
  explicit TeacherReporter(Reporter& reporter) : reporter_(reporter) {}
  void note(const std::string& line) override { reporter_.note("teacher: " + line); }
  void warn(const std::string& line) override { reporter_.warn("teacher: " + line); }
  void progress(const std::string& what, int64_t done, int64_t total, const std::string& detail) override {
    reporter_.progress(what, done, total, detail);
  }

 private:
  Reporter& reporter_;
};

/// The teacher sees what the student sees of a picture.
image::Preprocessing seen_by(image::Preprocessing teacher, const image::Preprocessing& student,
                             const TeacherOptions& options) {
  teacher.size_px = options.teacher_size.value_or(teacher.size_px);
  teacher.crop_ratio = student.crop_ratio;
  teacher.resize = student.resize;
  teacher.exif = student.exif;
  teacher.fast_decode = student.fast_decode;
  return teacher;
}

void require_same_classes(const model::Artifact& model, const Setup& setup) {
  if (model.target != Target::kSoftmax || setup.target != Target::kSoftmax) {
    throw UsageError("--teacher " + model.path +
                     ": a model.pt teaches by the scores of its classes, with --loss softmax");
  }
  if (model.classes == setup.listing.classes) return;
  throw UsageError(text::cat("--teacher ", model.path, ": its classes are ", text::abridge(model.classes, 8),
                             "; the data's are ", text::abridge(setup.listing.classes, 8)));
}

Teacher model_teacher(const TeacherOptions& options, const Setup& setup) {
  const model::Artifact model = model::load_artifact(options.teacher, setup.options.compute.trust);
  require_same_classes(model, setup);
  if (!options.teacher_tap.empty())
    throw UsageError("--teacher-tap: " + options.teacher + " is a model.pt, which teaches by its scores");
  Teacher teacher;
  teacher.network = model.module;
  teacher.preprocessing = seen_by(model.preprocessing, setup.backbone.preprocessing, options);
  teacher.loss.are_logits = true;
  teacher.width = static_cast<int64_t>(model.classes.size());
  return teacher;
}

Teacher backbone_teacher(const TeacherOptions& options, const Setup& setup) {
  model::BackboneOptions source;
  source.path = options.teacher;
  source.trust = setup.options.compute.trust;
  source.preprocessing.size = options.teacher_size;
  const model::Backbone backbone = model::load_backbone(source);
  const std::vector<std::string> taps = model::resolve_taps(backbone, options.teacher_tap);
  if (taps.size() > 1) throw UsageError("--teacher-tap " + options.teacher_tap + ": expected one block");
  Teacher teacher;
  teacher.tap = taps.front();
  teacher.network = graph::extract(backbone.module, taps);
  teacher.preprocessing = seen_by(backbone.preprocessing, setup.backbone.preprocessing, options);
  const at::Tensor map = engine::run_grey(teacher.network, "forward", teacher.preprocessing).front();
  const at::Tensor embedding = model::pooled(map, model::Pool::kAverage);
  if (embedding.dim() != 2) {
    throw ModelError(text::cat(options.teacher, ": tap ", teacher.tap, " gives ", text::shape(map.sizes().vec()),
                               ", which is no embedding; name another by --teacher-tap"));
  }
  teacher.width = embedding.size(1);
  const uint64_t seed = mix(static_cast<uint64_t>(setup.options.seed), 0x74656163686572 /* "teacher" */);
  teacher.projection.emplace(model::HeadOptions{setup.head.options().embedding_dim, teacher.width, "", seed});
  teacher.projection->to(setup.device);
  return teacher;
}

}  // namespace

std::optional<Teacher> load_teacher(const TeacherOptions& options, const Setup& setup) {
  if (options.teacher.empty()) return std::nullopt;
  const bool is_model =
      !model::is_new_network(options.teacher) &&
      model::is_model_json(model::load_script(options.teacher, setup.options.compute.trust).archive_json);
  Teacher teacher = is_model ? model_teacher(options, setup) : backbone_teacher(options, setup);
  teacher.sha256 = model::backbone_sha256(options.teacher);
  teacher.loss.weight = options.teacher_weight;
  teacher.loss.temperature = options.teacher_temperature;
  return teacher;
}

void check_stages(const Teacher& teacher, const std::vector<StagePlan>& stages) {
  bool has_learners = false;
  for (const StagePlan& stage : stages) {
    if (stage.epochs == 0) continue;
    has_learners = has_learners || !stage.freeze.learning.empty();
    if (stage.mix.is_on())
      throw UsageError(text::cat("--teacher: it sees single pictures, stage ", stage.number, " mixes them"));
  }
  if (has_learners || teacher.loss.are_logits) return;
  throw UsageError(
      "--teacher: a head alone cannot learn to give a backbone's embedding; add a --stage, or take a model.pt");
}

at::Tensor standardised_columns(const at::Tensor& rows) {
  const at::Tensor wide = rows.to(at::kDouble), mean = wide.mean(0);
  const at::Tensor deviation = (wide - mean).square().mean(0).sqrt();
  const at::Tensor scale = at::where(deviation > 0, 1 / deviation, at::zeros_like(deviation));
  return ((wide - mean) * scale).to(at::kFloat);
}

void take_lessons(Setup& setup, Reporter& reporter) {
  if (!setup.teacher) return;
  Teacher& teacher = *setup.teacher;
  TeacherReporter named_reporter(reporter);
  const io::Json known = {{"sha256", teacher.sha256}, {"taps", {teacher.tap}}};
  engine::EngineOptions options{teacher.preprocessing, setup.engine_options.batch_size, setup.device};
  PrecisionTrial trial{teacher.network, setup.listing, setup.train_rows, options, setup.options.compute.loader_threads};
  trial.network = &known;
  trial.cache_dir = setup.options.cache.cache_dir;
  const PrecisionChoice choice = choose_precision(setup.options.compute.precision, trial, named_reporter);
  options.precision = choice.precision;
  options.calibration = choice.calibration;
  options.is_frozen = true;
  const auto engine =
      choose_engine(setup.options.compute.engine, teacher.network, options, named_reporter, {&known, trial.cache_dir});
  const auto count = static_cast<int64_t>(setup.train_rows.size());
  at::Tensor rows = at::empty({count, teacher.width}, at::kFloat);
  int64_t done = 0;
  const auto bad = forward_pass(
      setup.listing, setup.train_rows, *engine, {setup.options.compute.loader_threads, "asking the teacher"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        const at::Tensor output = model::pooled(outputs.front(), model::Pool::kAverage);  // [B, width]
        rows.narrow(0, done, static_cast<int64_t>(good.size())).copy_(output);
        done += static_cast<int64_t>(good.size());
      },
      named_reporter);
  require_readable(bad);
  if (!rows.isfinite().all().item<bool>()) throw ModelError("the teacher gives what is not finite");
  teacher.lessons = (teacher.loss.are_logits ? rows : standardised_columns(rows)).to(setup.device);
  named_reporter.note(text::cat(setup.options.teaching.teacher, teacher.tap.empty() ? "" : ", tap " + teacher.tap, ", ",
                                teacher.width, teacher.loss.are_logits ? " scores" : " numbers", " a picture at ",
                                teacher.preprocessing.size_px, " px"));
}

}  // namespace engraft::finetune
