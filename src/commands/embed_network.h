#pragma once

#include <memory>
#include <string>
#include <vector>

#include "commands/embed_options.h"
#include "data/listing.h"
#include "engine/engine.h"
#include "finetune/precision.h"
#include "finetune/views.h"
#include "model/backbone.h"
#include "model/compose.h"
#include "store/feature_store.h"

namespace engraft::commands {

/// The network up to its taps, and what they give.
struct Network {
  model::Backbone backbone;
  std::vector<std::string> taps;
  torch::jit::Module body;
  std::vector<store::TapShape> shapes;
};

/// Throws as load_backbone and resolve_taps.
Network load_network(const EmbedOptions& options, model::Pool pool, Reporter& reporter);

/// What runs it.
struct ChosenEngine {
  finetune::PrecisionChoice precision;
  std::unique_ptr<engine::Engine> engine;
};

/// In the batch and by the int8 finding that the store in --out was begun with, where there is one, since rows depend
/// on them. Throws as choose_precision and choose_engine.
ChosenEngine choose(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                    const finetune::Views& views, const c10::Device& device, Reporter& reporter);

/// All that decides what a row holds, as FeatureStoreWriter takes it.
std::string computed_text(const EmbedOptions& options, const data::Listing& listing, const Network& network,
                          const ChosenEngine& chosen, const finetune::Views& views);

}  // namespace engraft::commands
