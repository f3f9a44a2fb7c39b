#include "commands/bench_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "finetune/engine_choice.h"
#include "report/table.h"
#include "tensor/device.h"

namespace engraft::commands {

std::vector<int64_t> Bench::pipeline_rows() const {
  return whole_batches(picture_times.readable, chosen.engine->options().batch_size);
}

namespace {

/// The ceiling of the precision that the engine computes in; nullptr where there is none, and on a GPU.
const Ceilings::Arithmetic* ceiling_of(const Bench& bench) {
  const engine::EngineOptions& used = bench.chosen.engine->options();
  if (!used.device.is_cpu()) return nullptr;
  for (const Ceilings::Arithmetic& one : bench.ceilings.arithmetic)
    if (one.precision == used.precision && one.ops_per_second.has_any()) return &one;
  return nullptr;
}

/// Seconds a picture that stages without any waiting would take. No stage is quicker than alone; and all cores together
/// have the engine's work on its threads (none on a GPU) and that of the other stages. The engine's batches are whole.
double bound_of(const Bench& bench) {
  const PictureTimes& p = bench.picture_times;
  const NetworkTimes& n = bench.network_times;
  const engine::EngineOptions& used = bench.chosen.engine->options();
  const auto count = static_cast<int64_t>(bench.pipeline_rows().size()), batch = used.batch_size;
  const double padding = static_cast<double>((count + batch - 1) / batch * batch) / static_cast<double>(count);
  const double engine = n.engine.median() * padding;
  const double threads = used.device.is_cpu() ? static_cast<double>(std::min(bench.threads, bench.cores)) : 0;
  const double others = p.read.median() + p.decode.median() + p.resize.median() + n.write.median();
  return std::max(engine, (engine * threads + others) / static_cast<double>(bench.cores));
}

io::Json stage_json(const char* name, const Rounds& seconds, double workers) {
  return {{"stage", name},
          {"seconds_per_picture", seconds.median()},
          {"least_seconds_per_picture", seconds.smallest()},
          {"pictures_per_second", workers / seconds.median()}};
}

}  // namespace

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
    out["pictures"] = {{"count", p.readable.size()},
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

namespace {

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

}  // namespace

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
    out += text::cat("pictures   ", p.readable.size(), " of ", text::fixed(p.width_px, 0), " x ",
                     text::fixed(p.height_px, 0), " px and ", text::bytes(p.bytes), " on average",
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
  if (table.size() > 1) out += "\n" + report::table_text(table);
  if (bench.network && bench.has_pictures())
    out += "bound: no stage quicker than alone, all cores at work, no waiting\n";
  return out;
}

}  // namespace engraft::commands
