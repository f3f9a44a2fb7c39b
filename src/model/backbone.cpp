#include "model/backbone.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "graph/audit.h"
#include "graph/intact.h"
#include "graph/probe.h"
#include "graph/reason.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

Script load_script(const std::string& path, bool trust, std::shared_ptr<torch::jit::CompilationUnit> unit) {
  const std::vector<graph::Finding> findings = graph::audit(path);
  if (!findings.empty() && !trust) {
    throw ModelError(path + ": the audit of its code found " +
                     text::count_of(static_cast<int64_t>(findings.size()), "problem") + ", first " +
                     text::cat(findings.front().record, ":", findings.front().line, ": ", findings.front().what) +
                     "; --trust loads it all the same");
  }
  const std::string damaged = graph::first_damaged_record(path);
  if (!damaged.empty()) {
    throw ModelError(path + ": is damaged: record '" + damaged + "' does not have the bytes it was saved with");
  }
  torch::jit::ExtraFilesMap extra{{"engraft.json", ""}};
  try {
    if (!unit) unit = std::make_shared<torch::jit::CompilationUnit>();
    Script script{torch::jit::import_ir_module(unit, path, c10::Device(c10::kCPU), extra), extra["engraft.json"], {}};
    script.traced = graph::traced_norms(script.module);
    graph::rewire_traced_norms(script.module);
    script.module.eval();
    return script;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ModelError(path + ": LibTorch cannot load it: " + graph::reason(error));
  }
}

Backbone load_backbone(const BackboneOptions& options) {
  Script script = load_script(options.path, options.trust);
  if (is_model_json(script.archive_json)) {
    throw ModelError(options.path +
                     ": a model of engraft, head and all, not a backbone; --backbone takes the file it was made from");
  }
  const auto anatomy = [&] {
    try {
      return graph::analyse(script.module);
    } catch (const Error& error) {
      throw ModelError(options.path + ": " + error.what());
    }
  };
  const std::string sha256 = io::sha256_of_file(options.path);
  ResolvedPreprocessing resolved;
  try {
    resolved = resolve_preprocessing(options.preprocessing, options.path, script.archive_json, sha256);
  } catch (const MissingPreprocessing&) {
    if (options.needs_preprocessing) throw;
  }
  return Backbone{options.path,
                  sha256,
                  script.module,
                  anatomy(),
                  std::move(resolved.preprocessing),
                  std::move(resolved.source),
                  std::move(script.traced)};
}

at::Tensor probe_input(const image::Preprocessing& p, int64_t batch) {
  at::Tensor x = at::empty({batch, 3, p.size_px, p.size_px}, at::kFloat);
  float* values = x.mutable_data_ptr<float>();
  RandomStream stream(0, {0x70726f6265 /* "probe" */});
  for (int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(stream.uniform(-1, 1));
  return x;
}

std::vector<std::string> block_names(const graph::Anatomy& anatomy) {
  std::vector<std::string> names;
  for (const graph::BlockInfo& block : anatomy.blocks()) names.push_back(block.name);
  return names;
}

std::vector<std::string> resolve_taps(const Backbone& backbone, const std::string& taps) {
  const auto& blocks = backbone.anatomy.blocks();
  if (!taps.empty()) {
    std::vector<std::string> out;
    for (const std::string& part : text::split(taps, ',')) {
      const std::string name = text::trim(part);
      if (name.empty()) throw UsageError("--tap '" + taps + "': a name between commas is missing");
      if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
    }
    try {
      const graph::Anatomy anatomy = graph::analyse(backbone.module, out);
      for (const std::string& name : out) anatomy.tap(name);
    } catch (const Error& error) {
      throw ModelError(backbone.path + ": " + error.what());
    }
    return out;
  }
  c10::NoGradGuard no_grad;
  const auto probes = graph::probe(backbone.module, backbone.anatomy, probe_input(backbone.preprocessing, 1));
  for (size_t i = blocks.size(); i-- > 0;) {
    if (blocks[i].legal_cut && probes[i].output_shape.size() == 4) return {blocks[i].name};
  }
  throw ModelError(backbone.path + ": no block gives a feature map [B, C, H, W] that may be cut; blocks: " +
                   text::abridge(block_names(backbone.anatomy), 8));
}

}  // namespace engraft::model
