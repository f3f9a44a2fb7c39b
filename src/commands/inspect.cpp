#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/run_files.h"
#include "base/text.h"
#include "commands/commands.h"
#include "commands/inspect_run.h"
#include "graph/norms.h"
#include "graph/probe.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "model/preprocessing_source.h"
#include "report/table.h"
#include "store/feature_files.h"
#include "store/feature_store.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

std::string percent_text(double part, double whole) {
  return whole > 0 ? text::fixed(100 * part / whole, 1) + " %" : "–";
}

io::Json block_json(const graph::BlockInfo& block, const graph::BlockProbe* probe, double total_flops) {
  io::Json out = {{"name", block.name}, {"type", block.type}};
  if (probe != nullptr) {
    out["output"] = probe->output_shape;
    out["parameters"] = probe->parameters;
    out["flops"] = probe->flops;
    out["share"] = total_flops > 0 ? probe->flops / total_flops : 0.0;
  }
  out["legal_cut"] = block.legal_cut;
  if (!block.why_not.empty()) out["why_not"] = block.why_not;
  return out;
}

/// What is known of a backbone file, as JSON.
io::Json backbone_json(const InspectOptions& options) {
  model::BackboneOptions wanted{options.file, options.compute.trust, options.preprocessing};
  wanted.needs_preprocessing = false;
  const model::Backbone backbone = model::load_backbone(wanted);
  const bool probed = !backbone.preprocessing_source.empty();
  std::vector<graph::BlockProbe> probes;
  io::Json problems = io::Json::array();
  if (probed) {
    c10::NoGradGuard no_grad;
    probes = graph::probe(backbone.module, backbone.anatomy, model::probe_input(backbone.preprocessing, 1));
    const std::string batch_problem =
        graph::check_batch(backbone.module, model::probe_input(backbone.preprocessing, 1));
    if (!batch_problem.empty()) problems.push_back(batch_problem);
  } else {
    problems.push_back(
        "nothing says how its pictures are prepared, so shapes and work are not shown; give --size PX "
        "--mean R,G,B --std R,G,B");
  }
  const graph::TracedNorms& traced = backbone.traced;
  if (traced.fixed_in_train > 0) {
    problems.push_back(text::cat("traced in train mode: ", traced.fixed_in_train,
                                 " norms or dropouts were baked in as training; they are made to follow eval() here"));
  }
  if (traced.without_mode > 0) {
    problems.push_back(
        text::cat("traced: ", traced.without_mode, " norms or dropouts have their mode baked in and keep it"));
  }
  double total = 0;
  int64_t parameters = 0;
  for (const graph::BlockProbe& probe : probes) total += static_cast<double>(probe.flops);
  for (const at::Tensor& tensor : backbone.module.parameters(true)) parameters += tensor.numel();
  io::Json out = {
      {"kind", "backbone"}, {"file", options.file}, {"sha256", backbone.sha256}, {"parameters", parameters}};
  if (!backbone.is_new) out["bytes"] = std::filesystem::file_size(options.file);
  if (probed) {
    out["preprocessing"] = model::to_json(backbone.preprocessing);
    out["preprocessing_source"] = backbone.preprocessing_source;
    out["flops"] = total;
  }
  out["traced"] = traced.any();
  out["blocks"] = io::Json::array();
  for (size_t i = 0; i < backbone.anatomy.blocks().size(); ++i) {
    out["blocks"].push_back(block_json(backbone.anatomy.blocks()[i], probed ? &probes[i] : nullptr, total));
  }
  out["problems"] = problems;
  return out;
}

std::string backbone_text(const io::Json& b) {
  std::string out = text::cat(
      b["file"].get<std::string>(), "\n  TorchScript, ", b["traced"].get<bool>() ? "traced, " : "",
      b.contains("bytes") ? text::bytes(b["bytes"].get<double>()) : "untrained, no file", ", ",
      text::magnitude(b["parameters"].get<double>()), " parameters, sha256 ", b["sha256"].get<std::string>(), "\n");
  const bool probed = b.contains("preprocessing");
  if (probed) {
    out += text::cat("  pictures: ", b["preprocessing_source"].get<std::string>(),
                     "\n  work: ", text::magnitude(b["flops"].get<double>()), "FLOP a picture of ",
                     b["preprocessing"]["size_px"].dump(), " px\n");
  }
  std::vector<std::vector<std::string>> rows = {{"block", "type", "output", "parameters", "work", "cut"}};
  for (const io::Json& block : b["blocks"]) {
    const bool legal = block["legal_cut"].get<bool>();
    rows.push_back(
        {block["name"], block["type"],
         probed ? block["output"].empty() ? "–" : text::shape(block["output"].get<std::vector<int64_t>>()) : "",
         probed ? text::magnitude(block["parameters"].get<double>()) : "",
         probed ? percent_text(block["flops"].get<double>(), b["flops"].get<double>()) : "",
         legal ? "legal" : "no: " + block.value("why_not", "")});
  }
  out += "\n" + report::table_text(rows);
  for (const io::Json& problem : b["problems"]) out += "\nproblem: " + problem.get<std::string>() + "\n";
  return out;
}

io::Json model_json(const InspectOptions& options) {
  const model::Artifact model = model::load_artifact(options.file, options.compute.trust);
  io::Json out = {{"kind", "model"}, {"file", options.file}, {"bytes", std::filesystem::file_size(options.file)}};
  out.update(io::parse_json(model.about_json, options.file));
  return out;
}

/// What a model says of pictures.
std::string said_text(const io::Json& m) {
  const std::vector<std::string> classes = m["classes"].get<std::vector<std::string>>();
  if (!m.contains("target")) return text::cat("classes: ", classes.size(), ": ", text::abridge(classes, 10, ", "));
  const auto figure = [&](const char* key) { return text::shortest(m["target"][key].get<float>()); };
  return text::cat("a number: of mean ", figure("mean"), " and deviation ", figure("std"), " in training");
}

std::string model_text(const io::Json& m) {
  const io::Json& p = m["preprocessing"];
  return text::cat(m["file"].get<std::string>(), "\n  a model of engraft, ", text::bytes(m["bytes"].get<double>()),
                   "; self-test passed\n  ", said_text(m), "\n  backbone up to ", m["tap"].get<std::string>(), ", ",
                   m["pool"].get<std::string>(), " pool, head '", m["head"].get<std::string>(), "', ",
                   m["loss"].get<std::string>(), "\n  pictures: ", p["size_px"].dump(), " px, ",
                   p["resize"].get<std::string>(), ", ", p["interpolation"].get<std::string>(), ", crop ratio ",
                   p["crop_ratio"].dump(), ", mean ", p["mean"].dump(), ", std ", p["std"].dump(), "\n");
}

std::string store_text(const io::Json& s, const std::string& folder, const store::FeatureStoreReader& reader) {
  std::string out = text::cat(folder, "\n  a feature store, ", text::count_of(reader.rows(), "row"), "\n");
  for (const store::TapShape& tap : reader.taps()) {
    out += "  tap " + tap.tap + ": " + text::shape(tap.row_shape) + " a row\n";
  }
  out += text::cat("  ", s["dtype"].get<std::string>(), ", ", text::count_of(reader.generations(), "writing"));
  const auto superseded = s["superseded"].get<int64_t>();
  out +=
      superseded == 0 ? "\n" : text::cat(", ", text::count_of(superseded, "row"), " of pictures that changed since\n");
  const std::string sha256 = s["computed"].value("backbone_sha256", "");
  if (!sha256.empty()) out += "  backbone sha256 " + sha256 + "\n";
  return out;
}

}  // namespace

ExitCode run(const InspectOptions& options, Session& session) {
  namespace fs = std::filesystem;
  tensor::set_compute_threads(options.compute.threads);
  io::Json value;
  std::string text;
  if (fs::is_directory(options.file)) {
    if (fs::exists(options.file + "/store.json")) {
      const store::FeatureStoreReader reader(options.file);
      value = reader.meta();
      text = store_text(value, options.file, reader);
    } else if (is_run_folder(options.file)) {
      value = run_json(options.file);
      text = run_text(value, options.file);
    } else if (fs::exists(options.file + "/" + kUnfinishedFile)) {
      throw DataError(options.file + ": a feature store that was not finished; embed --resume goes on with it");
    } else {
      throw DataError(options.file + ": neither a feature store (store.json) nor a run (result.json, run.toml)");
    }
  } else {
    const bool is_model = model::is_model_json(model::load_script(options.file, options.compute.trust).archive_json);
    value = is_model ? model_json(options) : backbone_json(options);
    text = is_model ? model_text(value) : backbone_text(value);
  }
  session.out << (options.common.json ? io::json_line(value) + "\n" : text);
  return ExitCode::kDone;
}

}  // namespace engraft::commands
