#include <ATen/ATen.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/errors.h"
#include "base/random.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/bench_stages.h"
#include "commands/commands.h"
#include "commands/embed_network.h"
#include "commands/table.h"
#include "finetune/engine_choice.h"
#include "finetune/picture_loader.h"
#include "finetune/precision.h"
#include "graph/flops.h"
#include "io/json.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// A folder that is removed with all it holds when this goes.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "engraft-bench-XXXXXX").string();
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

/// What is measured, and by what.
struct Bench {
  int64_t cores = 0, threads = 0;
  data::Listing listing;
  std::vector<int64_t> rows;
  image::Preprocessing preprocessing;
  std::optional<Network> network;
  ChosenEngine chosen;
  double flops = 0;  // a picture
  model::Pool pool = model::Pool::kAverage;
  int64_t loader_threads = 0;

  Ceilings ceilings;
  PictureTimes picture_times;
  NetworkTimes network_times;

  bool has_pictures() const { return !rows.empty(); }
};

image::Preprocessing preprocessing_without_network(const image::PreprocessingFlags& flags) {
  image::Preprocessing preprocessing;
  preprocessing.size_px = static_cast<int>(flags.size.value_or(preprocessing.size_px));
  preprocessing.crop_ratio = flags.crop_ratio.value_or(preprocessing.crop_ratio);
  preprocessing.resize = flags.resize.value_or(preprocessing.resize);
  preprocessing.interpolation = flags.interpolation.value_or(preprocessing.interpolation);
  preprocessing.exif = flags.exif.value_or(preprocessing.exif);
  return preprocessing;
}

/// Of one grey picture through the network.
double flops_of(const Network& network) {
  const graph::FlopCounter counter;
  engine::run_grey(network.body, "forward", network.backbone.preprocessing);
  return static_cast<double>(counter.flops());
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
    bench.rows = spread_rows(bench.listing, options.pictures);
  } else if (embed.compute.precision == "int8") {
    throw UsageError("--precision int8 is calibrated on pictures; add --data");
  }
  bench.preprocessing = preprocessing_without_network(embed.preprocessing);
  if (embed.backbone.empty()) return bench;
  bench.network = load_network(embed, bench.pool, reporter);
  bench.preprocessing = bench.network->backbone.preprocessing;
  bench.flops = flops_of(*bench.network);
  EmbedOptions as_embed = embed;
  as_embed.out = scratch;
  bench.chosen = choose(as_embed, bench.listing, *bench.network, {}, device, reporter);
  return bench;
}

/// One batch: the first pictures that can be read, over and over where there are too few, or noise.
std::vector<uint8_t> first_pixels(const Bench& bench) {
  const int64_t batch = bench.chosen.engine->options().batch_size;
  const auto one =
      static_cast<size_t>(bench.preprocessing.size_px) * static_cast<size_t>(bench.preprocessing.size_px) * 3;
  std::vector<uint8_t> pixels(one * static_cast<size_t>(batch));
  RandomStream stream(1, {0x62656e6368 /* "bench" */});
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(stream.below(256));
  if (!bench.has_pictures()) return pixels;
  const data::LoadFunction load = finetune::picture_loader(bench.listing, bench.preprocessing);
  for (size_t i = 0; i < static_cast<size_t>(batch); ++i) {
    try {
      load(bench.rows[i % bench.rows.size()], pixels.data() + i * one);
    } catch (const DataError&) {
      continue;  // noise stays in its place; PictureTimes counts it
    }
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
      bench.network_times.measure_pipeline(*bench.chosen.engine, bench.listing, bench.rows, bench.loader_threads,
                                           bench.pool, bench.network->shapes, scratch);
  }
}

/// The ceiling of the precision that the engine computes in; nullptr where there is none, and on a GPU.
const Ceilings::Arithmetic* ceiling_of(const Bench& bench) {
  const engine::EngineOptions& used = bench.chosen.engine->options();
  if (!used.device.is_cpu()) return nullptr;
  for (const Ceilings::Arithmetic& one : bench.ceilings.arithmetic)
    if (one.precision == used.precision && one.ops_per_second.has_any()) return &one;
  return nullptr;
}

/// Seconds a picture that stages without any waiting would take: the engine on all threads, the rest on all cores.
double bound_of(const Bench& bench) {
  const PictureTimes& p = bench.picture_times;
  const NetworkTimes& n = bench.network_times;
  const double on_cores = p.read.median() + p.decode.median() + p.resize.median() + n.write.median();
  return n.engine.median() + on_cores / static_cast<double>(bench.cores);
}

io::Json stage_json(const char* name, const Rounds& seconds, double workers) {
  return {{"stage", name},
          {"seconds_per_picture", seconds.median()},
          {"least_seconds_per_picture", seconds.smallest()},
          {"pictures_per_second", workers / seconds.median()}};
}

io::Json to_json(const Bench& bench) {
  io::Json out = {{"platform", tensor::platform_text()}, {"cores", bench.cores}, {"threads", bench.threads}};
  io::Json& ceilings = out["ceilings"] = io::Json::object();
  for (const Ceilings::Arithmetic& one : bench.ceilings.arithmetic) {
    if (!one.ops_per_second.has_any()) continue;
    ceilings[tensor::to_text(one.precision)] = {{"unit", one.unit}, {"ops_per_second", one.ops_per_second.largest()}};
  }
  ceilings["memory"] = {{"bytes_per_second", bench.ceilings.copied_bytes_per_second.largest()}};
  io::Json& stages = out["stages"] = io::Json::array();
  const auto cores = static_cast<double>(bench.cores);
  if (bench.has_pictures()) {
    const PictureTimes& p = bench.picture_times;
    out["pictures"] = {{"count", p.pictures},
                       {"unreadable", p.unreadable},
                       {"mean_bytes", p.bytes},
                       {"mean_width_px", p.width_px},
                       {"mean_height_px", p.height_px}};
    stages.push_back(stage_json("read", p.read, cores));
    stages.push_back(stage_json("decode", p.decode, cores));
    stages.push_back(stage_json("resize", p.resize, cores));
  }
  if (!bench.network) return out;
  const NetworkTimes& n = bench.network_times;
  io::Json engine = stage_json("engine", n.engine, 1);
  engine["ops_per_second"] = bench.flops / n.engine.median();
  if (const auto* ceiling = ceiling_of(bench))
    engine["share_of_ceiling"] = bench.flops / n.engine.median() / ceiling->ops_per_second.largest();
  stages.push_back(engine);
  stages.push_back(stage_json("write", n.write, cores));
  out["network"] = {{"taps", bench.network->taps},
                    {"size", bench.preprocessing.size_px},
                    {"flops_per_picture", bench.flops},
                    {"batch", bench.chosen.engine->options().batch_size},
                    {"engine", finetune::to_json(bench.chosen.engine->report())}};
  if (!bench.has_pictures()) return out;
  out["pipeline"] = stage_json("pipeline", n.pipeline, 1);
  out["pipeline"].erase("stage");
  out["bound"] = {{"seconds_per_picture", bound_of(bench)}, {"pictures_per_second", 1 / bound_of(bench)}};
  out["share_of_bound"] = bound_of(bench) / n.pipeline.median();
  if (const auto* ceiling = ceiling_of(bench))
    out["share_of_arithmetic"] = bench.flops / n.pipeline.median() / ceiling->ops_per_second.largest();
  return out;
}

std::string ops_text(double per_second) {
  return per_second >= 1e12 ? text::fixed(per_second / 1e12, 2) + " T" : text::fixed(per_second / 1e9, 0) + " G";
}

std::string percent(double share) { return text::fixed(100 * share, 1) + " %"; }

std::string rate(double per_second) { return text::fixed(per_second, per_second < 100 ? 1 : 0); }

std::string ceilings_text(const Bench& bench) {
  std::string out = "machine    " + tensor::platform_text() + "\nceilings   ";
  for (const Ceilings::Arithmetic& one : bench.ceilings.arithmetic) {
    if (!one.ops_per_second.has_any()) continue;
    const char* unit = one.precision == tensor::Precision::kInt8 ? "OP/s" : "FLOP/s";
    out += text::cat(tensor::to_text(one.precision), " ", ops_text(one.ops_per_second.largest()), unit, " (", one.unit,
                     "), ");
  }
  return out + text::cat("memory ", text::fixed(bench.ceilings.copied_bytes_per_second.largest() / 1e9, 1),
                         " GB/s read and written\n");
}

using Table = std::vector<std::vector<std::string>>;

void add_core_stage(Table& table, const Bench& bench, const char* name, const Rounds& seconds,
                    const std::string& what) {
  table.push_back({name, what, text::fixed(1000 * seconds.median(), 3), rate(1 / seconds.median()),
                   rate(static_cast<double>(bench.cores) / seconds.median()), ""});
}

std::string to_text(const Bench& bench) {
  std::string out = ceilings_text(bench);
  const PictureTimes& p = bench.picture_times;
  const NetworkTimes& n = bench.network_times;
  if (bench.network) {
    out += text::cat("network    to ", text::join(bench.network->taps, ", "), " at ", bench.preprocessing.size_px,
                     " px: ", text::fixed(bench.flops / 1e9, 2), " GFLOP a picture; ", bench.chosen.engine->name(),
                     ", batch ", bench.chosen.engine->options().batch_size, "\n");
  }
  if (bench.has_pictures()) {
    out += text::cat("pictures   ", p.pictures, " of ", text::fixed(p.width_px, 0), " x ", text::fixed(p.height_px, 0),
                     " px and ", text::bytes(p.bytes), " on average",
                     p.unreadable > 0 ? text::cat("; ", p.unreadable, " could not be read") : "", "\n");
  }
  Table table = {{"stage", "", "ms a picture", "pictures/s a core", "on all cores", ""}};
  if (bench.has_pictures()) {
    add_core_stage(table, bench, "read", p.read, "file");
    add_core_stage(table, bench, "decode", p.decode, "to pixels");
    add_core_stage(table, bench, "resize", p.resize, text::cat("to ", bench.preprocessing.size_px, " px"));
  }
  if (bench.network) {
    const double per_second = bench.flops / n.engine.median();
    const auto* ceiling = ceiling_of(bench);
    table.push_back({"engine",
                     ops_text(per_second) +
                         (ceiling != nullptr && ceiling->precision == tensor::Precision::kInt8 ? "OP/s" : "FLOP/s"),
                     text::fixed(1000 * n.engine.median(), 3), "", rate(1 / n.engine.median()),
                     ceiling == nullptr ? ""
                                        : text::cat(percent(per_second / ceiling->ops_per_second.largest()), " of ",
                                                    tensor::to_text(ceiling->precision), " arithmetic")});
    add_core_stage(table, bench, "write", n.write, "rows");
  }
  if (bench.network && bench.has_pictures()) {
    const double bound = bound_of(bench);
    table.push_back({"pipeline", "all of it", text::fixed(1000 * n.pipeline.median(), 3), "",
                     rate(1 / n.pipeline.median()),
                     text::cat(percent(bound / n.pipeline.median()), " of the bound, ", rate(1 / bound))});
  }
  if (table.size() > 1) out += "\n" + table_text(table);
  if (bench.network && bench.has_pictures())
    out += "bound: the engine on all threads, then the other stages on all cores, and no waiting\n";
  return out;
}

}  // namespace

ExitCode run(const BenchOptions& options, Session& session) {
  require_int8_engine(options.embed.compute);
  const ScratchFolder scratch;
  Bench bench = set_up(options, scratch.path(), session.reporter);
  measure(bench, options.rounds, scratch.path(), session.reporter);
  session.out << (options.common.json ? io::json_line(to_json(bench)) + "\n" : to_text(bench));
  return ExitCode::kDone;
}

}  // namespace engraft::commands
