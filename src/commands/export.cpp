#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "commands/commands.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "model/backbone_archive.h"
#include "tensor/named.h"

namespace engraft::commands {

namespace {

namespace fs = std::filesystem;

std::string source_of(const ExportOptions& options, const model::Artifact& model) {
  if (!options.source.empty()) return options.source;
  const std::string made_from = io::parse_json(model.about_json, options.model).value("backbone_sha256", "");
  return text::cat("trained by engraft for ", model.classes.size(), " classes from the backbone of SHA-256 ",
                   made_from);
}

at::Tensor map_of(torch::jit::Module module, const at::Tensor& x) {
  const c10::NoGradGuard no_grad;
  return module.forward({x}).toTensor();
}

}  // namespace

ExitCode run(const ExportOptions& options, Session& session) {
  if (fs::exists(options.out)) throw UsageError("--out " + options.out + ": is there already");
  const model::Artifact model = model::load_artifact(options.model, options.trust);
  const torch::jit::Module backbone = model.module.attr("backbone").toModule();
  model::BackboneRecord record;
  record.name = options.name.empty() ? fs::path(options.out).stem().string() : options.name;
  record.source = source_of(options, model);
  record.licence = options.licence;
  record.preprocessing = model.preprocessing;
  record.preprocessing.size_px = options.size.value_or(record.preprocessing.size_px);
  record.preprocessing.crop_ratio = options.crop_ratio.value_or(record.preprocessing.crop_ratio);
  record.has_half_weights = options.half;
  const std::string bytes = model::backbone_archive(backbone, record);
  const at::Tensor x = model::probe_input(record.preprocessing, 1);
  const at::Tensor before = map_of(backbone, x);
  io::AtomicFile file(options.out);
  file.write(bytes);
  file.commit();
  const model::Backbone written = model::load_backbone({options.out, options.trust, {}});
  const double difference = tensor::relative_difference(map_of(written.module, x), before);
  const io::Json result = {{"file", options.out},
                           {"bytes", bytes.size()},
                           {"sha256", written.sha256},
                           {"blocks", model::block_names(written.anatomy)},
                           {"difference", difference}};
  if (options.common.json) {
    session.out << io::json_line(result) << "\n";
  } else {
    session.out << options.out << ": " << text::bytes(static_cast<double>(bytes.size())) << ", blocks "
                << text::abridge(model::block_names(written.anatomy), 8) << "; differs from the model's by "
                << (difference == 0 ? std::string("nothing")
                                    : text::fixed(100 * difference, 4) + " % of the largest value")
                << "\n";
  }
  return ExitCode::kDone;
}

}  // namespace engraft::commands
