#include "finetune/setup.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/errors.h"
#include "base/text.h"
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

data::Listing list_training(const TrainOptions& options, Reporter& reporter) {
  data::Listing listing = data::list_data(options.data.data, {options.val_fraction, true, {}});
  data::tell(listing, reporter);
  check_classes(listing.classes);
  if (options.loss == "sigmoid" && listing.classes.size() != 2) {
    throw UsageError(
        text::cat("--loss sigmoid: one logit tells two classes apart, the data have ", listing.classes.size()));
  }
  if (data::rows_of(listing, "val").empty()) throw no_validation(listing, options);
  return listing;
}

std::string one_tap(const model::Backbone& backbone, const std::string& wanted) {
  const std::vector<std::string> taps = model::resolve_taps(backbone, wanted);
  if (taps.size() != 1) throw UsageError("--tap: train takes one block, found '" + wanted + "'");
  return taps.front();
}

/// For each class, whether it has a training picture.
std::vector<bool> trained_classes(const Setup& setup) {
  std::vector<bool> has(setup.listing.classes.size(), false);
  for (const int64_t row : setup.train_rows) {
    has[static_cast<size_t>(setup.listing.samples[static_cast<size_t>(row)].label)] = true;
  }
  return has;
}

model::Head make_head(const TrainOptions& options, const at::Tensor& embedding, size_t classes) {
  model::HeadOptions head;
  head.embedding_dim = embedding.size(1);
  head.outputs = options.loss == "sigmoid" ? 1 : static_cast<int64_t>(classes);
  head.spec = options.head;
  head.seed = static_cast<uint64_t>(options.seed);
  return model::Head(head);
}

}  // namespace

Setup set_up(const TrainOptions& options, Reporter& reporter) {
  if (options.epochs == 0 && options.stage.empty()) throw UsageError("nothing to train: --epochs 0 and no --stage");
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  data::Listing listing = list_training(options, reporter);
  std::vector<int64_t> train_rows = data::rows_of(listing, "train");
  std::vector<int64_t> val_rows = data::rows_of(listing, "val");
  std::vector<int64_t> test_rows = data::rows_of(listing, "test");

  model::Backbone backbone = model::load_backbone({options.backbone, options.compute.trust, options.preprocessing});
  const std::string tap = one_tap(backbone, options.tap);
  torch::jit::Module body = graph::extract(backbone.module, {tap});
  std::vector<StagePlan> stages = plan_stages(options, body, tap);
  const std::string batch_problem = graph::check_batch(body, model::probe_input(backbone.preprocessing, 1));
  if (!batch_problem.empty()) throw ModelError(options.backbone + ": " + batch_problem);
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
  reporter.note(text::cat("data: ", listing.classes.size(), " classes, ", train_rows.size(), " training, ",
                          val_rows.size(), " validation",
                          test_rows.empty() ? "" : text::cat(", ", test_rows.size(), " test"), " pictures"));
  const engine::EngineOptions engine_options{backbone.preprocessing, batch, device};
  return Setup{options,
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
               {}};
}

io::Json resolved_json(const Setup& setup) {
  io::Json resolved = {{"backbone_sha256", setup.backbone.sha256},
                       {"tap", setup.tap},
                       {"preprocessing", model::to_json(setup.backbone.preprocessing)},
                       {"batch", setup.engine_options.batch_size},
                       {"platform", tensor::platform_text()},
                       {"device", setup.device.str()}};
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
  const std::vector<bool> after = trained_classes(setup);
  for (size_t k = 0; k < after.size(); ++k) {
    if (before[k] && !after[k]) {
      throw DataError(path + ": class '" + setup.listing.classes[k] + "': no readable training picture is left");
    }
  }
}

}  // namespace engraft::finetune
