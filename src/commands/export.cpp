#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "commands/commands.h"
#include "graph/anatomy.h"
#include "graph/reason.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "model/backbone_archive.h"
#include "tensor/named.h"

namespace engraft::commands {

namespace {

namespace fs = std::filesystem;

/// What engraft.json says under `key`; empty where that is no text.
std::string text_of(const io::Json& about, const char* key) {
  return about.contains(key) && about[key].is_string() ? about[key].get<std::string>() : "";
}

std::vector<std::string> block_names(const torch::jit::Module& backbone) {
  return model::block_names(graph::analyse(backbone));
}

std::string source_of(const ExportOptions& options, const model::Artifact& model, const io::Json& about) {
  if (!options.source.empty()) return options.source;
  const std::string task = model.classes.empty() ? "a number" : text::cat(model.classes.size(), " classes");
  return text::cat("trained by engraft for ", task, " from the backbone of SHA-256 ",
                   text_of(about, "backbone_sha256"));
}

/// Throws ModelError where the network does not take the picture.
at::Tensor map_of(torch::jit::Module module, const at::Tensor& x) {
  const c10::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  try {
    return module.forward({x}).toTensor();
  } catch (const std::exception& error) {
    throw ModelError(text::cat("its backbone does not take a picture of ", x.size(3), " px: ", graph::reason(error)));
  }
}

/// The archive, loaded again: what it differs from the model's backbone by, over the largest value, at the size that it
/// is to be used at. Throws ModelError where that is more than rounding gives.
double difference_of(const model::Script& written, const torch::jit::Module& backbone, const at::Tensor& x, bool half) {
  const double difference = tensor::relative_difference(map_of(written.module, x), map_of(backbone, x));
  const double most = half ? 0.05 : 0;
  if (difference <= most) return difference;
  throw ModelError(text::cat("what was written differs by ", text::shortest(difference), " of the largest value",
                             half ? "; its weights do not suit float16" : ""));
}

}  // namespace

ExitCode run(const ExportOptions& options, Session& session) {
  if (fs::exists(options.out)) throw UsageError("--out " + options.out + ": is there already");
  io::AtomicFile file(options.out);  // a folder that is not there is said now
  const model::Artifact model = model::load_artifact(options.model, options.trust);
  const io::Json about = io::parse_json(model.about_json, options.model);
  const torch::jit::Module backbone = model.module.attr("backbone").toModule();
  model::BackboneRecord record;
  record.name = options.name.empty() ? fs::path(options.out).stem().string() : options.name;
  record.source = source_of(options, model, about);
  record.architecture =
      "up to block " + text_of(about, "tap") + " of what it was made from, as engraft cuts it (script)";
  record.blocks = block_names(backbone);
  record.licence = options.licence;
  record.preprocessing = model.preprocessing;
  record.preprocessing.size_px = options.size.value_or(record.preprocessing.size_px);
  record.preprocessing.crop_ratio = options.crop_ratio.value_or(record.preprocessing.crop_ratio);
  record.has_half_weights = options.half;
  const std::string bytes = model::backbone_archive(backbone, record);
  const double difference = difference_of(model::script_of_bytes(options.out, bytes), backbone,
                                          model::probe_input(record.preprocessing, 1), options.half);
  file.write(bytes);
  file.commit();
  const io::Json result = {{"file", options.out},
                           {"bytes", bytes.size()},
                           {"sha256", io::sha256(bytes)},
                           {"blocks", record.blocks},
                           {"difference", difference}};
  if (options.common.json) {
    session.out << io::json_line(result) << "\n";
    return ExitCode::kDone;
  }
  session.out << options.out << ": " << text::bytes(static_cast<double>(bytes.size())) << ", blocks "
              << text::abridge(record.blocks, 8) << "; differs from the model's by "
              << (difference == 0 ? "nothing" : text::fixed(100 * difference, 4) + " % of the largest value") << "\n";
  return ExitCode::kDone;
}

}  // namespace engraft::commands
