#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "commands/commands.h"
#include "data/digest.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/precision.h"
#include "graph/surgery.h"
#include "model/backbone.h"
#include "model/compose.h"
#include "model/preprocessing_source.h"
#include "store/feature_store.h"
#include "store/out_folder.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

std::vector<store::TapShape> tap_shapes(const model::Backbone& backbone, const torch::jit::Module& body,
                                        const std::vector<std::string>& taps, model::Pool pool) {
  const std::vector<at::Tensor> outputs = engine::run_grey(body, "forward", backbone.preprocessing);
  std::vector<store::TapShape> shapes;
  for (size_t t = 0; t < taps.size(); ++t) {
    const std::vector<int64_t> sizes = model::pooled(outputs[t], pool).sizes().vec();
    shapes.push_back({taps[t], std::vector<int64_t>(sizes.begin() + 1, sizes.end())});
  }
  return shapes;
}

}  // namespace

ExitCode run(const EmbedOptions& options, Session& session) {
  const Stopwatch watch;
  store::require_free_folder(options.out);
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  data::ListingOptions any;
  any.val_fraction = options.val_fraction;
  any.labels_required = false;
  const data::Listing listing = data::list_data(options.data.data, any);
  data::tell(listing, session.reporter);
  const model::Backbone backbone =
      model::load_backbone({options.backbone, options.compute.trust, options.preprocessing});
  const std::vector<std::string> taps = model::resolve_taps(backbone, options.tap);
  const torch::jit::Module body = graph::extract(backbone.module, taps);
  const model::Pool pool = model::pool_from_text(options.pool);
  const int64_t batch = finetune::batch_shape(options.data.batch, listing, backbone.preprocessing);
  const std::vector<store::TapShape> shapes = tap_shapes(backbone, body, taps, pool);
  session.reporter.note("pictures: " + backbone.preprocessing_source);
  for (const store::TapShape& shape : shapes) {
    session.reporter.note("tap " + shape.tap + ": " + text::shape(shape.row_shape) + " a picture");
  }

  store::FeatureStoreOptions store_options;
  store_options.folder = options.out;
  store_options.shard_rows = options.shard_rows;
  store_options.taps = shapes;
  store_options.slice_names = listing.slice_names;
  store::FeatureStoreWriter writer(store_options);
  std::vector<int64_t> rows(listing.samples.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);

  engine::EngineOptions engine_options{backbone.preprocessing, batch, device};
  const finetune::PrecisionChoice precision = finetune::choose_precision(
      options.compute.precision, {body, listing, rows, engine_options, options.compute.loader_threads},
      session.reporter);
  engine_options.precision = precision.precision;
  engine_options.is_frozen = true;
  const auto engine = finetune::choose_engine(options.compute.engine, body, engine_options, session.reporter);
  const auto bad = finetune::forward_pass(
      listing, rows, *engine, {options.compute.loader_threads, "embedding"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        std::vector<at::Tensor> ready;
        for (const at::Tensor& output : outputs) {
          ready.push_back(model::pooled(output, pool).to(at::kCPU, at::kFloat).contiguous());  // [B, …]
        }
        for (size_t i = 0; i < good.size(); ++i) {
          const data::Sample& sample = listing.samples[static_cast<size_t>(good[i])];
          std::vector<const float*> features;
          for (const at::Tensor& tensor : ready) {
            features.push_back(tensor.const_data_ptr<float>() +
                               static_cast<int64_t>(i) * (tensor.numel() / tensor.size(0)));
          }
          writer.append({sample.image_path, sample.label_name, sample.split, sample.slices}, features);
        }
      },
      session.reporter);
  for (const auto& picture : bad) {
    session.reporter.warn(picture.image_path + ": " + picture.reason);
    writer.skip(picture.image_path, picture.reason);
  }
  if (writer.rows() == 0) throw DataError(options.data.data + ": none of the pictures can be read");
  io::Json engine_record = finetune::to_json(engine->report());
  engine_record.update(io::Json{{"batch", batch}, {"platform", tensor::platform_text()}, {"device", device.str()}});
  finetune::add_to(engine_record, precision);
  writer.finish(io::Json{{"backbone", {{"sha256", backbone.sha256}, {"taps", taps}}},
                         {"pool", options.pool},
                         {"preprocessing", model::to_json(backbone.preprocessing)},
                         {"data", {{"digest", data::data_digest(listing)}, {"classes", listing.classes}}},
                         {"engine", engine_record}});
  const double seconds = watch.seconds();
  if (options.common.json) {
    session.out << io::json_line(io::Json{{"out", options.out},
                                          {"rows", writer.rows()},
                                          {"skipped", writer.skipped()},
                                          {"taps", taps},
                                          {"seconds", seconds}})
                << "\n";
  } else {
    session.out << options.out << ": " << text::count_of(writer.rows(), "row") << " from " << text::join(taps, ", ")
                << (bad.empty() ? "" : text::cat(", ", bad.size(), " skipped (skipped.csv)")) << ", "
                << text::duration(seconds) << "\n";
  }
  return static_cast<int64_t>(bad.size()) > options.max_bad ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace engraft::commands
