#include "finetune/setup.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "finetune/arithmetic.h"
#include "finetune/sources.h"
#include "finetune/stage_fit.h"
#include "graph/probe.h"
#include "graph/surgery.h"
#include "model/preprocessing_source.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

/// model.pt keeps class names as JSON, which holds Unicode only, and classes.txt one a line. Throws DataError.
void check_classes(const std::vector<std::string>& classes) {
  for (const std::string& name : classes) {
    const bool has_control =
        std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
    if (has_control) {
      throw DataError("class " + io::json_line(io::Json(name)) + ": the name holds a control character; rename it");
    }
    try {
      io::Json(name).dump();
    } catch (const nlohmann::json::exception&) {
      throw DataError("class '" + name + "': the name is not UTF-8; rename it");
    }
  }
}

/// Why there is no validation picture, and what helps.
DataError no_validation(const data::Listing& listing, const TrainOptions& options) {
  const std::string& path = options.data.data;
  if (listing.is_split_by_hash) {
    return DataError(text::cat(path, ": no validation pictures: none of ",
                               text::count_of(static_cast<int64_t>(listing.samples.size()), "picture"),
                               " falls into --val-fraction ", text::shortest(options.val_fraction), "; raise it"));
  }
  return DataError(path + ": no validation pictures: the validation folder holds none; fill it, or remove it and a " +
                   "part of train/ is split off (--val-fraction)");
}

/// Of a training whose "auto" was decided.
Target target_of(const TrainOptions& options) {
  const std::optional<Target> target = target_from_text(options.loss);
  if (!target) throw UsageError("--loss: no loss '" + options.loss + "'");
  return *target;
}

data::Listing list_training(TrainOptions& options, Reporter& reporter) {
  const Target read_as = target_from_text(options.loss).value_or(Target::kSoftmax);  // auto decides by the classes
  data::Listing listing = data::list_data(options.data.data, {options.val_fraction, true, {}, read_as});
  data::tell(listing, reporter);
  check_classes(listing.classes);
  if (options.loss == "auto") options.loss = listing.classes.size() == 2 ? "sigmoid" : "softmax";
  if (options.loss == "sigmoid" && listing.classes.size() != 2) {
    throw UsageError(
        text::cat("--loss sigmoid: one logit tells two classes apart, the data have ", listing.classes.size()));
  }
  if (data::rows_of(listing, "train").empty()) {
    throw DataError(options.data.data + ": no picture in the training split");
  }
  if (data::rows_of(listing, "val").empty()) throw no_validation(listing, options);
  return listing;
}

std::string one_tap(const model::Backbone& backbone, const std::string& wanted) {
  const std::vector<std::string> taps =
      model::resolve_taps(backbone, first_known(wanted, model::block_names(backbone.anatomy)));
  if (taps.size() != 1) throw UsageError("--tap: train takes one block, found '" + wanted + "'");
  return taps.front();
}

/// For each class, whether it has a training picture.
std::vector<bool> trained_classes(const Setup& setup) {
  std::vector<bool> has(setup.listing.classes.size(), false);
  for (const int64_t row : setup.train_rows) {
    const data::Sample& sample = setup.listing.samples[static_cast<size_t>(row)];
    if (sample.label >= 0) has[static_cast<size_t>(sample.label)] = true;
    for (const int64_t label : sample.labels) has[static_cast<size_t>(label)] = true;
  }
  return has;
}

bool has_labels(const data::Listing& listing, const std::vector<int64_t>& rows) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](int64_t row) { return !listing.samples[static_cast<size_t>(row)].labels.empty(); });
}

/// What the labels are, for a note.
std::string labels_text(Target target, const data::Listing& listing, const TargetScale& scale) {
  if (target != Target::kRegression) {
    return text::cat(listing.classes.size(), target == Target::kMultiLabel ? " labels" : " classes");
  }
  return text::cat("numbers of mean ", text::shortest(static_cast<float>(scale.mean)), " and deviation ",
                   text::shortest(static_cast<float>(scale.std)));
}

model::Head make_head(const TrainOptions& options, const at::Tensor& embedding, size_t classes) {
  model::HeadOptions head;
  head.embedding_dim = embedding.size(1);
  head.outputs = outputs_of(target_of(options), static_cast<int64_t>(classes));
  head.spec = options.head;
  head.seed = static_cast<uint64_t>(options.seed);
  return model::Head(head);
}

/// Where pictures go into what learns in every epoch, each epoch may have a view of its own.
Views views_of(const TrainOptions& options, const data::Listing& listing, const std::vector<StagePlan>& stages) {
  int64_t longest = 0;
  bool nothing_is_frozen = true;
  for (const StagePlan& stage : stages) {
    if (stage.epochs == 0) continue;
    longest = std::max(longest, stage.epochs);
    nothing_is_frozen = nothing_is_frozen && !stage.is_on_features() && stage.cut.empty();
  }
  return make_views(options.augment, options.views, nothing_is_frozen ? longest : kUsualViews, options.seed,
                    static_cast<int64_t>(listing.samples.size()));
}

}  // namespace

Setup set_up(const TrainOptions& given, Reporter& reporter) {
  TrainOptions options = given;
  require_int8_engine(options.compute);
  if (options.epochs == 0 && options.stage.empty()) throw UsageError("nothing to train: --epochs 0 and no --stage");
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  data::Listing listing = list_training(options, reporter);
  std::vector<int64_t> train_rows = data::rows_of(listing, "train");
  std::vector<int64_t> val_rows = data::rows_of(listing, "val");
  std::vector<int64_t> test_rows = data::rows_of(listing, "test");
  const Target target = target_of(options);
  const TargetScale scale = scale_of(target, options.data.data, listing, train_rows);

  model::BackboneOptions source;
  source.path = options.backbone;
  source.trust = options.compute.trust;
  source.preprocessing = options.preprocessing;
  source.seed = static_cast<uint64_t>(options.seed);
  model::Backbone backbone = model::load_backbone(source);
  const std::string tap = one_tap(backbone, options.tap);
  torch::jit::Module body = graph::extract(backbone.module, {tap});
  std::vector<StagePlan> stages = plan_stages(options, body, tap, backbone.is_new);
  const std::string batch_problem = graph::check_batch(body, model::probe_input(backbone.preprocessing, 1));
  if (!batch_problem.empty()) throw ModelError(options.backbone + ": " + batch_problem);
  Views views = views_of(options, listing, stages);
  const int64_t batch = batch_shape(options.data.batch, listing, backbone.preprocessing);

  const model::Pool pool = model::pool_from_text(options.pool);
  const at::Tensor map = engine::run_grey(body, "forward", backbone.preprocessing).front();  // [1, C, H, W]
  const at::Tensor embedding = model::pooled(map, pool);                                     // [1, D]
  if (embedding.dim() != 2) {
    throw ModelError(text::cat(options.backbone, ": tap ", tap, " gives ", text::shape(map.sizes().vec()),
                               ", which --pool ", options.pool,
                               " does not make a row; use --pool flatten or another tap"));
  }
  model::Head head = make_head(options, embedding, listing.classes.size());
  head.to(device);

  reporter.note("backbone: " + options.backbone + ", tap " + tap + " " + text::shape(map.sizes().vec()));
  reporter.note("pictures: " + backbone.preprocessing_source);
  reporter.note("head: " + model::describe(head) + ", " + options.pool + " pool");
  reporter.note(text::cat("data: ", labels_text(target, listing, scale), ", ", train_rows.size(), " training, ",
                          val_rows.size(), " validation",
                          test_rows.empty() ? "" : text::cat(", ", test_rows.size(), " test"), " pictures"));
  if (target == Target::kMultiLabel && !has_labels(listing, val_rows)) {
    reporter.warn("no validation picture has a label: the mean average precision is 0 in every epoch");
  }
  if (views.is_random()) {
    reporter.note(text::cat("augmentation: ", image::to_text(views.augmentation), "; ",
                            text::count_of(views.count, "view"), " of each training picture"));
  }
  const engine::EngineOptions engine_options{backbone.preprocessing, batch, device};
  Setup setup{options,
              device,
              std::move(listing),
              std::move(train_rows),
              std::move(val_rows),
              std::move(test_rows),
              std::move(backbone),
              tap,
              std::move(body),
              std::move(stages),
              engine_options,
              pool,
              std::move(head),
              std::move(views),
              {}};
  setup.target = target;
  setup.scale = scale;
  for (const StagePlan& stage : setup.stages) {  // for what they throw
    const train::FitOptions fit = fit_options(setup, stage);
    const bool is_head_alone = stage.freeze.learning.empty() && stage.epochs > 0;
    if (is_head_alone) train::make_optimizer(fit.optimizer, setup.head.parameters());
    if (stage.epochs > 0 && fit.optimizer.name == "lbfgs" && setup.views.count > 1) {
      throw UsageError(text::cat("lbfgs (stage ", stage.number,
                                 ") needs the same rows in every epoch; use --views 1 "
                                 "with it, or another optimizer"));
    }
  }
  choose_arithmetic(setup, reporter);
  setup.teacher = load_teacher(setup, reporter);
  return setup;
}

const DataDigests& digests_of(Setup& setup) {
  using data::DigestOf;
  DataDigests& digests = setup.digests;
  if (digests.sizes.empty()) digests.sizes = data::data_digest(setup.listing, DigestOf::kSizes);
  if (digests.contents.empty()) {
    digests.files = data::read_contents(setup.listing);
    digests.contents = data::data_digest(setup.listing, digests.files);
  }
  return digests;
}

io::Json resolved_json(const Setup& setup) {
  io::Json resolved = {{"backbone_sha256", setup.backbone.sha256},
                       {"tap", setup.tap},
                       {"preprocessing", model::to_json(setup.backbone.preprocessing)},
                       {"batch", setup.engine_options.batch_size},
                       {"platform", tensor::platform_text()},
                       {"device", setup.device.str()},
                       {"precision", tensor::to_text(setup.precision.precision)},
                       {"engine", setup.engine.name}};
  if (setup.teacher) resolved["teacher"] = to_json(*setup.teacher);
  resolved["stages"] = io::Json::array();
  for (const StagePlan& stage : setup.stages) resolved["stages"].push_back(to_json(stage));
  return resolved;
}

void drop_bad(Setup& setup, const std::vector<BadPicture>& bad, Reporter& reporter) {
  if (bad.empty()) return;
  const std::string& path = setup.options.data.data;
  for (const BadPicture& picture : bad) reporter.warn(picture.image_path + ": " + picture.reason);
  if (!setup.options.skip_bad) {
    throw DataError(text::cat(path, ": ", text::count_of(static_cast<int64_t>(bad.size()), "picture"),
                              " cannot be read, named above, first ", bad.front().image_path,
                              "; mend or remove them, or go on without them by --skip-bad"));
  }
  setup.skipped.insert(setup.skipped.end(), bad.begin(), bad.end());
  const std::vector<bool> before = trained_classes(setup);
  std::unordered_set<int64_t> bad_rows;
  for (const BadPicture& picture : bad) bad_rows.insert(picture.row);
  const auto is_bad = [&](int64_t row) { return bad_rows.count(row) > 0; };
  for (std::vector<int64_t>* rows : {&setup.train_rows, &setup.val_rows, &setup.test_rows}) {
    rows->erase(std::remove_if(rows->begin(), rows->end(), is_bad), rows->end());
  }
  if (setup.train_rows.empty() || setup.val_rows.empty()) throw DataError(path + ": no readable pictures are left");
  setup.scale = scale_of(setup.target, path, setup.listing, setup.train_rows);
  const std::vector<bool> after = trained_classes(setup);
  for (size_t k = 0; k < after.size(); ++k) {
    if (before[k] && !after[k]) {
      throw DataError(path + ": class '" + setup.listing.classes[k] + "': no readable training picture is left");
    }
  }
}

}  // namespace engraft::finetune
