#include "model/backbone.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <future>
#include <sstream>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "graph/audit.h"
#include "graph/eval_scope.h"
#include "graph/intact.h"
#include "graph/reason.h"
#include "graph/surgery.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/backbone_archive.h"
#include "model/new_networks.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

namespace {

/// Throws ModelError for a file that the audit finds fault with, or that is damaged.
void check_file(const std::string& path, bool trust) {
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
}

/// `source` is a path or a stream.
template <class Source>
Script imported(const std::string& path, Source& source, std::shared_ptr<torch::jit::CompilationUnit> unit) {
  torch::jit::ExtraFilesMap extra{{"engraft.json", ""}};
  try {
    if (!unit) unit = std::make_shared<torch::jit::CompilationUnit>();
    Script script{torch::jit::import_ir_module(unit, source, c10::Device(c10::kCPU), extra), extra["engraft.json"], {}};
    widen_stored_halves(script.module, script.archive_json);
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

Script imported_bytes(const std::string& path, const std::string& bytes,
                      std::shared_ptr<torch::jit::CompilationUnit> unit) {
  std::istringstream stream(bytes);
  return imported<std::istream>(path, stream, std::move(unit));
}

/// What forward gives for `x`, without an optimising executor, which takes longer than one run.
c10::IValue run_once(const torch::jit::Module& module, const at::Tensor& x) {
  const graph::EvalScope eval(module);
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);
  return torch::jit::Module(module).forward({x});
}

/// The last legal block that gives a map [B, C, H, W]; empty where none does.
std::string last_map(const Backbone& backbone) {
  std::vector<std::string> legal;
  for (const graph::BlockInfo& block : backbone.anatomy.blocks())
    if (block.legal_cut) legal.push_back(block.name);
  if (legal.empty()) return "";
  const at::Tensor x = probe_input(backbone.preprocessing, 1);
  const c10::IValue out = run_once(graph::extract(backbone.module, legal), x);
  const auto output_of = [&](size_t i) { return out.isTuple() ? out.toTupleRef().elements()[i] : out; };
  for (size_t i = legal.size(); i-- > 0;) {
    const c10::IValue output = output_of(i);
    if (output.isTensor() && output.toTensor().dim() == 4) return legal[i];
  }
  return "";
}

}  // namespace

Script script_of_bytes(const std::string& name, const std::string& bytes) {
  return imported_bytes(name, bytes, nullptr);
}

Script load_script(const std::string& path, bool trust, std::shared_ptr<torch::jit::CompilationUnit> unit,
                   uint64_t seed) {
  if (is_new_network(path)) return imported_bytes(path, new_network(path, seed), std::move(unit));
  check_file(path, trust);
  return imported(path, path, std::move(unit));
}

std::string backbone_sha256(const std::string& path, uint64_t seed) {
  return is_new_network(path) ? io::sha256(new_network(path, seed)) : io::sha256_of_file(path);
}

Backbone load_backbone(const BackboneOptions& options) {
  const bool is_new = is_new_network(options.path);
  const std::string drawn = is_new ? new_network(options.path, options.seed) : std::string();
  auto sha256 = std::async(std::launch::async, [&] {  // beside the loading, which takes longer
    return is_new ? io::sha256(drawn) : io::sha256_of_file(options.path);
  });
  Script script = is_new ? imported_bytes(options.path, drawn, nullptr) : load_script(options.path, options.trust);
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
  const std::string digest = sha256.get();
  ResolvedPreprocessing resolved;
  try {
    resolved = resolve_preprocessing(options.preprocessing, options.path, script.archive_json, digest);
  } catch (const MissingPreprocessing&) {
    if (options.needs_preprocessing) throw;
  }
  return Backbone{options.path,
                  digest,
                  script.module,
                  anatomy(),
                  std::move(resolved.preprocessing),
                  std::move(resolved.source),
                  std::move(script.traced),
                  is_new};
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
  try {
    const std::string last = last_map(backbone);
    if (!last.empty()) return {last};
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ModelError(text::cat(backbone.path, ": the network does not take a picture of ",
                               backbone.preprocessing.size_px, " px: ", graph::reason(error)));
  }
  throw ModelError(backbone.path + ": no block gives a feature map [B, C, H, W] that may be cut; blocks: " +
                   text::abridge(block_names(backbone.anatomy), 8));
}

}  // namespace engraft::model
