#include "finetune/teacher.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/setup.h"
#include "graph/probe.h"
#include "graph/surgery.h"
#include "model/artifact.h"
#include "model/new_networks.h"
#include "model/preprocessing_source.h"

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

/// Errors of `make` name the teacher.
template <class Make>
auto named_errors(const std::string& path, const Make& make) {
  const auto named = [&](const Error& error) {
    const std::string what = error.what();
    return text::starts_with(what, "--teacher") ? what : "--teacher " + path + ": " + what;
  };
  try {
    return make();
  } catch (const ModelError& error) {
    throw ModelError(named(error));
  } catch (const UsageError& error) {
    throw UsageError(named(error));
  }
}

/// The teacher sees what the student sees of a picture.
image::Preprocessing seen_by(image::Preprocessing teacher, const Setup& setup) {
  const image::Preprocessing& student = setup.backbone.preprocessing;
  teacher.size_px = setup.options.teaching.teacher_size.value_or(teacher.size_px);
  teacher.crop_ratio = student.crop_ratio;
  teacher.resize = student.resize;
  teacher.exif = student.exif;
  teacher.fast_decode = student.fast_decode;
  return teacher;
}

void require_same_classes(const model::Artifact& model, const Setup& setup) {
  if (model.target != Target::kSoftmax || setup.target != Target::kSoftmax)
    throw UsageError("a model.pt teaches by the scores of its classes, both with --loss softmax");
  if (model.classes == setup.listing.classes) return;
  throw UsageError(text::cat("its classes are ", text::abridge(model.classes, 8), "; the data's are ",
                             text::abridge(setup.listing.classes, 8)));
}

Teacher model_teacher(const Setup& setup) {
  const TeacherOptions& options = setup.options.teaching;
  const model::Artifact model = model::load_artifact(options.teacher, setup.options.compute.trust);
  require_same_classes(model, setup);
  if (!options.teacher_tap.empty()) throw UsageError("--teacher-tap: a model.pt teaches by its scores");
  Teacher teacher;
  teacher.network = model.module;
  teacher.engine_options.preprocessing = seen_by(model.preprocessing, setup);
  teacher.loss.are_logits = true;
  return teacher;
}

Teacher backbone_teacher(const Setup& setup) {
  const TeacherOptions& options = setup.options.teaching;
  if (options.teacher_temperature) throw UsageError("--teacher-temperature: only of a model.pt, by its scores");
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
  teacher.engine_options.preprocessing = seen_by(backbone.preprocessing, setup);
  return teacher;
}

/// Tries the teacher on a grey picture, and a projection to what it gives.
void measure(Teacher& teacher, const Setup& setup) {
  const image::Preprocessing& p = teacher.engine_options.preprocessing;
  const std::string batch_problem = graph::check_batch(teacher.network, model::probe_input(p, 1));
  if (!batch_problem.empty()) throw ModelError(batch_problem);
  const at::Tensor output = engine::run_grey(teacher.network, "forward", p).front();
  const at::Tensor row = model::pooled(output, model::Pool::kAverage);
  if (row.dim() != 2) {
    throw ModelError(text::cat("tap ", teacher.tap, " gives ", text::shape(output.sizes().vec()),
                               ", which is no embedding; name another by --teacher-tap"));
  }
  teacher.width = row.size(1);
  if (teacher.loss.are_logits) return;
  const int64_t student = setup.head.options().embedding_dim;
  constexpr int64_t kMostWeights = int64_t{1} << 28;  // 1 GiB
  if (student > kMostWeights / teacher.width) {
    throw UsageError(text::cat("its ", teacher.width, " numbers against the backbone's ", student,
                               " take a layer beyond 1 GiB; --pool avg makes these fewer"));
  }
  const uint64_t seed = mix(static_cast<uint64_t>(setup.options.seed), 0x74656163686572 /* "teacher" */);
  teacher.projection.emplace(model::HeadOptions{student, teacher.width, "", seed});
  teacher.projection->to(setup.device);
}

/// Precision and engine, as choose_arithmetic has them for the backbone.
void choose_arithmetic(Teacher& teacher, const Setup& setup, Reporter& reporter) {
  const io::Json known = {{"sha256", teacher.sha256}, {"taps", {teacher.tap}}};
  engine::EngineOptions options{teacher.engine_options.preprocessing, setup.engine_options.batch_size, setup.device};
  PrecisionTrial trial{teacher.network, setup.listing, setup.train_rows, options, setup.options.compute.loader_threads};
  trial.network = &known;
  trial.cache_dir = setup.options.cache.cache_dir;
  teacher.precision = choose_precision(setup.options.compute.precision, trial, reporter);
  const auto engine = choose_frozen_engine(setup.options.compute.engine, trial, teacher.precision, reporter);
  teacher.engine = engine->name();
  teacher.engine_options = engine->options();
}

void check_stages(const Teacher& teacher, const std::vector<StagePlan>& stages) {
  bool is_heard = false;
  for (const StagePlan& stage : stages) {
    if (stage.epochs == 0) continue;
    is_heard = is_heard || is_taught(teacher, stage);
    if (stage.mix.is_on())
      throw UsageError(text::cat("it sees single pictures, and stage ", stage.number, " mixes them"));
  }
  if (!is_heard)
    throw UsageError("a head alone cannot learn to give a backbone's embedding; add a --stage, or take a model.pt");
}

/// Settings of a teacher where there is none.
void require_none(const TeacherOptions& options) {
  const char* given = !options.teacher_tap.empty()  ? "--teacher-tap"
                      : options.teacher_size        ? "--teacher-size"
                      : options.teacher_weight      ? "--teacher-weight"
                      : options.teacher_temperature ? "--teacher-temperature"
                                                    : nullptr;
  if (given != nullptr) throw UsageError(std::string(given) + ": there is no --teacher; give the file to learn from");
}

}  // namespace

bool is_taught(const Teacher& teacher, const StagePlan& stage) {
  return teacher.loss.are_logits || !stage.freeze.learning.empty();
}

std::optional<Teacher> load_teacher(const Setup& setup, Reporter& reporter) {
  const TeacherOptions& options = setup.options.teaching;
  if (options.teacher.empty()) {
    require_none(options);
    return std::nullopt;
  }
  TeacherReporter named_reporter(reporter);
  return named_errors(options.teacher, [&] {
    const bool is_model =
        !model::is_new_network(options.teacher) &&
        model::is_model_json(model::load_script(options.teacher, setup.options.compute.trust).archive_json);
    Teacher teacher = is_model ? model_teacher(setup) : backbone_teacher(setup);
    teacher.sha256 = model::backbone_sha256(options.teacher);
    teacher.loss.weight = options.teacher_weight.value_or(kTeacherWeight);
    teacher.loss.temperature = options.teacher_temperature.value_or(kTeacherTemperature);
    check_stages(teacher, setup.stages);
    measure(teacher, setup);
    named_reporter.note(text::cat(options.teacher, teacher.tap.empty() ? "" : ", tap " + teacher.tap, ", ",
                                  teacher.width, teacher.loss.are_logits ? " scores" : " numbers", " a picture at ",
                                  teacher.engine_options.preprocessing.size_px, " px"));
    choose_arithmetic(teacher, setup, named_reporter);
    return std::optional<Teacher>(std::move(teacher));
  });
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
  const auto engine = engine::make_engine(teacher.network, "forward", teacher.engine_options);
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
      reporter);
  require_readable(bad);
  if (!rows.isfinite().all().item<bool>())
    throw ModelError("--teacher " + setup.options.teaching.teacher + ": gives what is not finite");
  teacher.lessons = (teacher.loss.are_logits ? rows : standardised_columns(rows)).to(setup.device);
}

io::Json to_json(const Teacher& teacher) {
  return {{"sha256", teacher.sha256},
          {"tap", teacher.tap},
          {"preprocessing", model::to_json(teacher.engine_options.preprocessing)},
          {"precision", tensor::to_text(teacher.precision.precision)},
          {"engine", teacher.engine}};
}

}  // namespace engraft::finetune
