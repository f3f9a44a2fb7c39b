#include "commands/embed_network.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "commands/embed_rows.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/int8_choice.h"
#include "graph/surgery.h"
#include "model/preprocessing_source.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// What the store in --out says of how its rows were computed; empty where there is none.
io::Json begun_with(const EmbedOptions& options) {
  const auto computed = store::recorded_computed(options.out);
  return computed ? io::parse_json(*computed, options.out) : io::Json::object();
}

/// The finding that the store was begun with, where it is of this network; computed anew it could be another.
std::optional<finetune::PrecisionChoice> begun_int8(const EmbedOptions& options, const Network& network) {
  const io::Json begun = begun_with(options);
  const bool is_same = begun.value("backbone_sha256", "") == network.backbone.sha256 &&
                       begun.value("taps", io::Json()) == io::Json(network.taps) && begun.contains("int8");
  if (!is_same) return std::nullopt;
  auto choice = finetune::choice_from_finding(begun["int8"]);
  if (!choice) throw DataError(options.out + ": its finding about int8 is damaged, or of another version");
  return choice;
}

/// As the store was begun, or as choose_precision finds.
finetune::PrecisionChoice precision_of(const EmbedOptions& options, const Network& network,
                                       const finetune::PrecisionTrial& trial, Reporter& reporter) {
  const auto begun = begun_int8(options, network);
  if (options.compute.precision != "int8" || !begun)
    return finetune::choose_precision(options.compute.precision, trial, reporter);
  if (begun->calibration != nullptr) {
    reporter.note("precision: int8, calibrated as the store was begun");
    return *begun;
  }
  reporter.note("precision: not int8, as the store was begun: " + begun->int8_refusal);
  return finetune::instead_of(*begun, finetune::choose_precision("auto", trial, reporter));
}

/// On a few cores four are as quick a picture as 32; fewer are not.
constexpr int64_t kLeastBatch = 4;

/// A few pictures do not wait for a whole batch on a CPU, unless more are to be appended or another batch is asked for.
int64_t enough_for(const EmbedOptions& options, int64_t items, const c10::Device& device) {
  if (!device.is_cpu() || options.append || options.data.batch != data::kDefaultBatch) return options.data.batch;
  int64_t enough = kLeastBatch;
  while (enough < items) enough *= 2;
  return std::min(options.data.batch, enough);
}

/// The batch that the store was begun with, or that of a new one: rows may depend on it.
int64_t batch_of(const EmbedOptions& options, const data::Listing& listing, const Network& network, int64_t items,
                 const c10::Device& device, Reporter& reporter) {
  const int64_t wanted =
      finetune::batch_shape(enough_for(options, items, device), listing, network.backbone.preprocessing);
  const int64_t recorded = begun_with(options).value("batch", wanted);
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
                    const finetune::Views& views, const c10::Device& device, Reporter& reporter) {
  const std::vector<int64_t> items = one_item_each(listing, views);
  const engine::EngineOptions wanted{
      network.backbone.preprocessing,
      batch_of(options, listing, network, static_cast<int64_t>(items.size()), device, reporter), device};
  ChosenEngine chosen;
  const io::Json named = {{"sha256", network.backbone.sha256}, {"taps", network.taps}};
  finetune::PrecisionTrial trial{network.body, listing, items, wanted, options.compute.loader_threads, views};
  trial.pool = model::pool_from_text(options.pool);
  trial.network = &named;
  trial.cache_dir = options.cache_dir;
  chosen.precision = precision_of(options, network, trial, reporter);
  chosen.engine = finetune::choose_frozen_engine(options.compute.engine, trial, chosen.precision, reporter);
  return chosen;
}

std::string computed_text(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                          const ChosenEngine& chosen, const finetune::Views& views) {
  const engine::EngineOptions& used = chosen.engine->options();
  io::Json computed = {{"backbone_sha256", network.backbone.sha256},
                       {"taps", network.taps},
                       {"pool", options.pool},
                       {"dtype", options.dtype},
                       {"slices", listing.slice_names},
                       {"preprocessing", model::to_json(network.backbone.preprocessing)},
                       {"precision", tensor::to_text(used.precision)},
                       {"engine", chosen.engine->name()},
                       {"batch", used.batch_size},
                       {"platform", tensor::platform_text()},
                       {"device", used.device.str()}};
  if (options.compute.precision == "int8") computed["int8"] = finetune::finding_json(chosen.precision);
  if (views.is_random())
    computed["views"] = {
        {"augmentation", image::to_text(views.augmentation)}, {"count", views.count}, {"seed", views.seed}};
  return io::json_line(computed);
}

}  // namespace engraft::commands
