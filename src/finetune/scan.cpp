#include "finetune/scan.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "data/listing.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/scan_probes.h"
#include "graph/surgery.h"
#include "model/backbone.h"
#include "model/compose.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr int kRounds = 2, kTimings = 3;  // of which the shortest counts
constexpr double kQuicker = 0.95;         // of the time: less is no difference that could be measured

data::Listing list_classes(const ScanOptions& options, Reporter& reporter) {
  data::Listing listing = data::list_data(options.data.data, {options.val_fraction, true, {}, Target::kSoftmax});
  data::tell(listing, reporter);
  for (const char* split : {"train", "val"}) {
    if (data::rows_of(listing, split).empty()) {
      throw DataError(options.data.data + ": no " + (split[0] == 't' ? "training" : "validation") + " pictures");
    }
  }
  return listing;
}

/// A block and the shape of what it gives for one picture, without the batch.
struct Tap {
  std::string name;
  std::vector<int64_t> map;
};

/// The wanted taps, or all whose output is a map or a row.
std::vector<Tap> find_taps(const model::Backbone& backbone, const std::string& wanted) {
  std::vector<std::string> names;
  if (!wanted.empty()) {
    names = model::resolve_taps(backbone, wanted);
  } else {
    for (const graph::BlockInfo& block : backbone.anatomy.blocks()) {
      if (block.can_tap) names.push_back(block.name);
    }
    if (names.empty()) throw ModelError(backbone.path + ": no block's output can be read");
  }
  const torch::jit::Module body = graph::extract(backbone.module, names);
  const std::vector<at::Tensor> outputs = engine::run_grey(body, "forward", backbone.preprocessing);
  std::vector<Tap> taps;
  for (size_t t = 0; t < names.size(); ++t) {
    const std::vector<int64_t> sizes = outputs[t].sizes().vec();
    if (sizes.size() == 4 || sizes.size() == 2) {
      taps.push_back({names[t], {sizes.begin() + 1, sizes.end()}});
    } else if (!wanted.empty()) {
      throw UsageError(text::cat("--taps: ", names[t], " gives ", text::shape(sizes), ", neither a map nor a row"));
    }
  }
  if (taps.empty()) throw ModelError(backbone.path + ": no block gives a map [B, C, H, W] or a row [B, D]");
  return taps;
}

int64_t dimension_of(const Tap& tap, model::Pool pool) {
  if (pool != model::Pool::kFlatten) return tap.map.front();
  int64_t product = 1;
  for (const int64_t size : tap.map) product *= size;
  return product;
}

/// Throws UsageError where the rows of all taps would fill this machine's memory.
void require_memory(const std::vector<Tap>& taps, model::Pool pool, size_t pictures) {
  double values = 0, most = 0;
  for (const Tap& tap : taps) {
    const auto own = static_cast<double>(dimension_of(tap, pool));
    values += own;
    most = std::max(most, own);
  }
  // Of each its rows, of one at a time the splits' and what probes make of them in float64.
  const double needed = (sizeof(float) * (values + most) + 4 * sizeof(double) * most) * static_cast<double>(pictures);
  const double memory = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (needed > memory) {
    throw UsageError(text::cat("rows of ", taps.size(), " taps for ", pictures, " pictures take ", text::bytes(needed),
                               " and this machine has ", text::bytes(memory), "; give fewer --taps",
                               pool == model::Pool::kFlatten ? ", or --pool avg" : ""));
  }
}

/// Rows of all taps for pictures, in their order; what could not be read is not among them.
struct Collected {
  std::vector<int64_t> rows;     // of the listing
  std::vector<at::Tensor> taps;  // [N, D] each
};

Collected collect(const data::Listing& listing, const std::vector<int64_t>& rows, engine::Engine& engine,
                  const ScanOptions& options, Reporter& reporter) {
  const model::Pool pool = model::pool_from_text(options.pool);
  Collected out;
  const auto bad = forward_pass(
      listing, rows, engine, {options.compute.loader_threads, "reading all taps"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        for (size_t t = 0; t < outputs.size(); ++t) {
          const at::Tensor own = model::pooled(outputs[t], pool).to(at::kCPU, at::kFloat).contiguous();  // [B, D]
          if (out.taps.size() <= t) {
            out.taps.push_back(at::empty({static_cast<int64_t>(rows.size()), own.size(1)}, own.options()));
          }
          out.taps[t].narrow(0, static_cast<int64_t>(out.rows.size()), own.size(0)).copy_(own);
        }
        out.rows.insert(out.rows.end(), good.begin(), good.end());
      },
      reporter);
  for (const BadPicture& picture : bad) reporter.warn(picture.image_path + ": " + picture.reason);
  if (!bad.empty() && !options.skip_bad) {
    throw DataError(text::cat(options.data.data, ": ", text::count_of(static_cast<int64_t>(bad.size()), "picture"),
                              " cannot be read, named above; mend or remove them, or go on without by --skip-bad"));
  }
  if (out.rows.empty()) throw DataError(options.data.data + ": none of the pictures can be read");
  for (at::Tensor& tap : out.taps) tap = tap.narrow(0, 0, static_cast<int64_t>(out.rows.size()));
  return out;
}

ProbeRows rows_of_split(const data::Listing& listing, const Collected& collected, size_t tap, const char* split) {
  std::vector<int64_t> places;
  ProbeRows out;
  for (size_t i = 0; i < collected.rows.size(); ++i) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(collected.rows[i])];
    if (sample.split != split) continue;
    places.push_back(static_cast<int64_t>(i));
    out.labels.push_back(sample.label);
  }
  if (places.empty()) throw DataError(std::string("no readable picture is left in split '") + split + "'");
  out.rows = collected.taps[tap].index_select(0, at::tensor(places, at::kLong));
  return out;
}

double milliseconds_to(const model::Backbone& backbone, const std::string& tap, const c10::Device& device) {
  const torch::jit::Module body = graph::extract(backbone.module, {tap});
  engine::EngineOptions options{backbone.preprocessing, kTimedBatch, device};
  const auto engine = engine::make_torch_engine(body, "forward", options);
  const int64_t side = backbone.preprocessing.size_px;
  const std::vector<uint8_t> grey(static_cast<size_t>(kTimedBatch * side * side * 3), 128);
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kTimings; ++i) {
    const Stopwatch watch;
    engine->run(grey.data()).front().sum().item<float>();  // a GPU has ended its work when that is known
    least = std::min(least, watch.seconds());
  }
  return 1000 * least / static_cast<double>(kTimedBatch);
}

/// Round by round, so that what else the machine does for a while befalls no tap alone.
void time_taps(const model::Backbone& backbone, const c10::Device& device, std::vector<TapScore>& taps) {
  for (TapScore& tap : taps) tap.milliseconds = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    for (TapScore& tap : taps) {
      throw_if_stopped("timing");
      tap.milliseconds = std::min(tap.milliseconds, milliseconds_to(backbone, tap.tap, device));
    }
  }
}

int64_t count(const std::vector<bool>& right) { return std::count(right.begin(), right.end(), true); }

}  // namespace

Suggestion suggest(const std::vector<TapScore>& taps) {
  const auto right_of = [&](size_t t) { return count(taps[t].left_out_right) + count(taps[t].ridge_right); };
  Suggestion out;
  for (size_t t = 1; t < taps.size(); ++t) {
    if (right_of(t) > right_of(out.best)) out.best = t;
  }
  out.tap = out.best;
  const TapScore& best = taps[out.best];
  for (size_t t = 0; t < taps.size(); ++t) {
    double best_alone = 0, alone = 0;
    const auto add = [&](const std::vector<bool>& of_best, const std::vector<bool>& own) {
      for (size_t i = 0; i < own.size(); ++i) {
        best_alone += of_best[i] && !own[i] ? 1 : 0;
        alone += own[i] && !of_best[i] ? 1 : 0;
      }
    };
    add(best.left_out_right, taps[t].left_out_right);
    add(best.ridge_right, taps[t].ridge_right);
    const auto pictures = static_cast<double>(best.left_out_right.size() + best.ridge_right.size());
    const double difference = (best_alone - alone) / pictures;
    // Half a picture more on each side (Agresti and Min 2005): one picture alone tells nothing.
    const double split = (best_alone - alone) / (pictures + 1);
    const double error = std::sqrt((best_alone + alone + 1) / (pictures + 1) - split * split) / std::sqrt(pictures + 1);
    if (difference <= error && taps[t].milliseconds < kQuicker * taps[out.tap].milliseconds) {
      out.tap = t;
      out.difference = difference;
      out.standard_error = error;
    }
  }
  return out;
}

ScanResult scan(const ScanOptions& options, Reporter& reporter) {
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  require_int8_engine(options.compute);
  const data::Listing listing = list_classes(options, reporter);
  const model::Backbone backbone =
      model::load_backbone({options.backbone, options.compute.trust, options.preprocessing});
  const model::Pool pool = model::pool_from_text(options.pool);
  const std::vector<Tap> taps = find_taps(backbone, options.taps);
  reporter.note("pictures: " + backbone.preprocessing_source);

  std::vector<int64_t> rows = data::rows_of(listing, "train");
  if (options.folds == 1 || options.folds > static_cast<int64_t>(rows.size())) {
    throw UsageError(
        text::cat("--folds ", options.folds, ": expected 0, or 2 to the ", rows.size(), " training pictures"));
  }
  for (const int64_t row : data::rows_of(listing, "val")) rows.push_back(row);
  require_memory(taps, pool, rows.size());
  std::vector<std::string> names;
  for (const Tap& tap : taps) names.push_back(tap.name);
  const torch::jit::Module body = graph::extract(backbone.module, names);
  const engine::EngineOptions wanted{backbone.preprocessing,
                                     batch_shape(options.data.batch, listing, backbone.preprocessing), device};
  const io::Json named = {{"sha256", backbone.sha256}, {"taps", names}};
  PrecisionTrial trial{body, listing, rows, wanted, options.compute.loader_threads};
  trial.pool = pool;
  trial.network = &named;
  const PrecisionChoice precision = choose_precision(options.compute.precision, trial, reporter);
  const auto engine = choose_frozen_engine(options.compute.engine, trial, precision, reporter);
  const Collected collected = collect(listing, rows, *engine, options, reporter);

  const auto left = static_cast<int64_t>(std::count_if(collected.rows.begin(), collected.rows.end(), [&](int64_t row) {
    return listing.samples[static_cast<size_t>(row)].split == "train";
  }));
  if (options.folds > left)
    throw UsageError(text::cat("--folds ", options.folds, ": only ", left, " training pictures can be read"));

  ScanResult out;
  out.engine = engine->name();
  out.classes = static_cast<int64_t>(listing.classes.size());
  for (size_t t = 0; t < taps.size(); ++t) {
    throw_if_stopped("probing");
    reporter.progress("probing", static_cast<int64_t>(t), static_cast<int64_t>(taps.size()), taps[t].name);
    TapScore score;
    score.tap = taps[t].name;
    score.map = taps[t].map;
    score.dimension = collected.taps[t].size(1);
    const ProbeRows train = rows_of_split(listing, collected, t, "train"),
                    val = rows_of_split(listing, collected, t, "val");
    out.train_pictures = static_cast<int64_t>(train.labels.size());
    out.val_pictures = static_cast<int64_t>(val.labels.size());
    if (!collected.taps[t].isfinite().all().item<bool>())
      throw ModelError(text::cat(options.backbone, ": block ", score.tap,
                                 " gives values that are not finite; leave it out "
                                 "by --taps"));
    probe_rows(train, val, out.classes, options, score);
    out.taps.push_back(std::move(score));
  }
  time_taps(backbone, device, out.taps);
  out.suggestion = suggest(out.taps);
  return out;
}

}  // namespace engraft::finetune
