#include "commands/embed_network.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "base/text.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "graph/surgery.h"
#include "model/preprocessing_source.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// The batch that the store was begun with, or that of a new one: rows may depend on it.
int64_t batch_of(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                 Reporter& reporter) {
  const int64_t wanted = finetune::batch_shape(options.data.batch, listing, network.backbone.preprocessing);
  const auto computed = store::recorded_computed(options.out);
  const int64_t recorded = computed ? io::parse_json(*computed, options.out).value("batch", wanted) : wanted;
  if (recorded != wanted) reporter.note(text::cat("batch: ", recorded, " pictures, as the store was begun"));
  return recorded;
}

}  // namespace

Network load_network(const EmbedOptions& options, model::Pool pool, Reporter& reporter) {
  Network network{model::load_backbone({options.backbone, options.compute.trust, options.preprocessing}), {}, {}, {}};
  network.taps = model::resolve_taps(network.backbone, options.tap);
  network.body = graph::extract(network.backbone.module, network.taps);
  const std::vector<at::Tensor> outputs = engine::run_grey(network.body, "forward", network.backbone.preprocessing);
  reporter.note("pictures: " + network.backbone.preprocessing_source);
  for (size_t t = 0; t < network.taps.size(); ++t) {
    const std::vector<int64_t> sizes = model::pooled(outputs[t], pool).sizes().vec();
    network.shapes.push_back({network.taps[t], std::vector<int64_t>(sizes.begin() + 1, sizes.end())});
    reporter.note("tap " + network.taps[t] + ": " + text::shape(network.shapes.back().row_shape) + " a picture");
  }
  return network;
}

ChosenEngine choose(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                    const c10::Device& device, Reporter& reporter) {
  std::vector<int64_t> rows(listing.samples.size());
  std::iota(rows.begin(), rows.end(), 0);
  engine::EngineOptions wanted{network.backbone.preprocessing, batch_of(options, listing, network, reporter), device};
  ChosenEngine chosen;
  chosen.precision = finetune::choose_precision(
      options.compute.precision, {network.body, listing, rows, wanted, options.compute.loader_threads}, reporter);
  wanted.precision = chosen.precision.precision;
  wanted.is_frozen = true;
  chosen.engine = finetune::choose_engine(options.compute.engine, network.body, wanted, reporter);
  return chosen;
}

std::string computed_text(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                          const engine::Engine& engine, const finetune::Views& views) {
  const engine::EngineOptions& used = engine.options();
  io::Json computed = {{"backbone_sha256", network.backbone.sha256},
                       {"taps", network.taps},
                       {"pool", options.pool},
                       {"dtype", options.dtype},
                       {"slices", listing.slice_names},
                       {"preprocessing", model::to_json(network.backbone.preprocessing)},
                       {"precision", tensor::to_text(used.precision)},
                       {"engine", engine.name()},
                       {"batch", used.batch_size},
                       {"platform", tensor::platform_text()},
                       {"device", used.device.str()}};
  if (views.is_random())
    computed["views"] = {
        {"augmentation", image::to_text(views.augmentation)}, {"count", views.count}, {"seed", views.seed}};
  return io::json_line(computed);
}

}  // namespace engraft::commands
