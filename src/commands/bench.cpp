#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/errors.h"
#include "base/random.h"
#include "base/spread.h"
#include "base/stop.h"
#include "commands/bench_report.h"
#include "commands/commands.h"
#include "finetune/engine_choice.h"
#include "finetune/picture_loader.h"
#include "graph/flops.h"
#include "image/transform.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// A new folder below `parent`, or where the system has temporary files; removed with all it holds when this goes.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& parent) {
    std::error_code error;
    std::filesystem::path folder = parent;
    if (parent.empty()) folder = std::filesystem::temp_directory_path(error);
    if (error) throw SystemError("no folder for temporary files: " + error.message() + "; give one by --scratch");
    std::string path = (folder / "engraft-bench-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw SystemError::from_errno("make", path);
    path_ = path;
  }
  ~ScratchFolder() {
    std::error_code unknown;
    std::filesystem::remove_all(path_, unknown);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Throws UsageError as image::validate.
image::Preprocessing preprocessing_without_network(const image::PreprocessingFlags& flags) {
  image::Preprocessing preprocessing;
  preprocessing.size_px = static_cast<int>(flags.size.value_or(preprocessing.size_px));
  preprocessing.crop_ratio = flags.crop_ratio.value_or(preprocessing.crop_ratio);
  preprocessing.resize = flags.resize.value_or(preprocessing.resize);
  preprocessing.interpolation = flags.interpolation.value_or(preprocessing.interpolation);
  preprocessing.exif = flags.exif.value_or(preprocessing.exif);
  preprocessing.fast_decode = flags.fast_decode.value_or(preprocessing.fast_decode);
  image::validate(preprocessing);
  return preprocessing;
}

/// Of one grey picture through the network.
double flops_of(const Network& network) {
  const graph::FlopCounter counter;
  engine::run_grey(network.body, "forward", network.backbone.preprocessing);
  return static_cast<double>(counter.flops());
}

/// Without pictures no precision can be tried: it is what is asked for.
ChosenEngine choose_untried(const EmbedOptions& embed, const Network& network, const c10::Device& device,
                            Reporter& reporter) {
  if (embed.compute.precision == "int8") throw UsageError("--precision int8 is calibrated on pictures; add --data");
  engine::EngineOptions wanted{network.backbone.preprocessing, embed.data.batch, device};
  ChosenEngine chosen;
  chosen.precision.precision = tensor::precision_from_text(embed.compute.precision, device);
  reporter.note("precision: " + tensor::to_text(chosen.precision.precision) + ", not tried on pictures");
  wanted.precision = chosen.precision.precision;
  wanted.is_frozen = true;
  chosen.engine = finetune::choose_engine(embed.compute.engine, network.body, wanted, reporter);
  return chosen;
}

Bench set_up(const BenchOptions& options, const std::string& scratch, Reporter& reporter) {
  const EmbedOptions& embed = options.embed;
  Bench bench;
  const c10::Device device = tensor::device_from_text(embed.compute.device);
  bench.threads = tensor::set_compute_threads(embed.compute.threads);
  bench.cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  bench.pool = model::pool_from_text(embed.pool);
  bench.loader_threads = embed.compute.loader_threads;
  if (!embed.data.data.empty()) {
    data::ListingOptions any;
    any.labels_required = false;
    bench.listing = data::list_data(embed.data.data, any);
    data::tell(bench.listing, reporter);
    bench.rows = evenly_spread(static_cast<int64_t>(bench.listing.samples.size()), options.pictures);
  }
  bench.preprocessing = preprocessing_without_network(embed.preprocessing);
  if (embed.backbone.empty()) return bench;
  bench.network = load_network(embed, bench.pool, reporter);
  bench.preprocessing = bench.network->backbone.preprocessing;
  bench.flops = flops_of(*bench.network);
  EmbedOptions as_embed = embed;
  as_embed.out = scratch;
  bench.chosen = bench.has_pictures() ? choose(as_embed, bench.listing, *bench.network, {}, device, reporter)
                                      : choose_untried(embed, *bench.network, device, reporter);
  return bench;
}

/// One batch, uint8 [batch, size, size, 3]: pictures, over and over where there are too few of them; noise where there
/// are none, and in the place of one that cannot be read.
std::vector<uint8_t> first_pixels(const Bench& bench) {
  const auto batch = static_cast<size_t>(bench.chosen.engine->options().batch_size);
  const auto size = static_cast<size_t>(bench.preprocessing.size_px), one = size * size * 3;
  std::vector<uint8_t> pixels(one * batch);
  RandomStream stream(1, {0x62656e6368 /* "bench" */});
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(stream.below(256));
  if (!bench.has_pictures()) return pixels;
  const data::LoadFunction load = finetune::picture_loader(bench.listing, bench.preprocessing);
  const size_t distinct = std::min(batch, bench.rows.size());
  for (size_t i = 0; i < distinct; ++i) {
    throw_if_stopped("bench");
    try {
      load(bench.rows[i], pixels.data() + i * one);
    } catch (const DataError&) {
      continue;  // PictureTimes counts it
    }
  }
  for (size_t i = distinct; i < batch; ++i) {
    const auto from = pixels.begin() + static_cast<std::ptrdiff_t>((i % distinct) * one);
    std::copy(from, from + static_cast<std::ptrdiff_t>(one), pixels.begin() + static_cast<std::ptrdiff_t>(i * one));
  }
  return pixels;
}

void measure(Bench& bench, int64_t rounds, const std::string& scratch, Reporter& reporter) {
  std::vector<uint8_t> pixels;
  if (bench.network) pixels = first_pixels(bench);
  for (int64_t round = 0; round < rounds; ++round) {
    throw_if_stopped("bench");
    reporter.progress("measuring", round + 1, rounds, "");
    bench.ceilings.measure(bench.threads);
    if (bench.has_pictures()) bench.picture_times.measure(bench.listing, bench.rows, bench.preprocessing);
    if (!bench.network) continue;
    bench.network_times.measure(*bench.chosen.engine, pixels, bench.pool, bench.network->shapes, scratch);
    if (bench.has_pictures())
      bench.network_times.measure_pipeline(*bench.chosen.engine, bench.listing, bench.pipeline_rows(),
                                           bench.loader_threads, bench.pool, bench.network->shapes, scratch);
  }
}

}  // namespace

ExitCode run(const BenchOptions& options, Session& session) {
  finetune::require_int8_engine(options.embed.compute);
  std::optional<ScratchFolder> scratch;
  if (!options.embed.backbone.empty()) scratch.emplace(options.scratch);
  const std::string folder = scratch ? scratch->path() : "";
  Bench bench = set_up(options, folder, session.reporter);
  measure(bench, options.rounds, folder, session.reporter);
  session.out << (options.common.json ? io::json_line(to_json(bench)) + "\n" : to_text(bench));
  return ExitCode::kDone;
}

}  // namespace engraft::commands
