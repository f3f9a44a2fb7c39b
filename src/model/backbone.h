#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "graph/anatomy.h"
#include "graph/norms.h"
#include "image/preprocessing.h"
#include "image/preprocessing_flags.h"

namespace engraft::model {

struct BackboneOptions {
  /// A TorchScript file, or "new:NAME" for a network from scratch (new_networks.h).
  std::string path;
  /// Load even if the audit of the archive's code finds something.
  bool trust = false;
  image::PreprocessingFlags preprocessing;
  /// False: where nothing says how pictures are prepared, Backbone::preprocessing_source is empty instead of an error.
  bool needs_preprocessing = true;
  /// What the weights of a network from scratch are drawn from.
  uint64_t seed = 42;
};

/// A network as loaded, on the CPU, in eval mode.
struct Backbone {
  std::string path;
  /// Of the file; of the archive's bytes where it is a network from scratch.
  std::string sha256;
  torch::jit::Module module;
  graph::Anatomy anatomy;
  image::Preprocessing preprocessing;
  std::string preprocessing_source;
  /// Modes that tracing had baked in.
  graph::TracedNorms traced;
  /// A network from scratch: its weights are random.
  bool is_new = false;
};

/// Audits the archive's code, loads it, and resolves its preprocessing.
/// Throws ModelError (not TorchScript, a finding of the audit, nothing that says how pictures are prepared), UsageError
/// for an unknown network from scratch.
Backbone load_backbone(const BackboneOptions& options);

/// A TorchScript file as loaded: on the CPU, in eval mode.
struct Script {
  torch::jit::Module module;
  /// engraft.json inside the archive; empty when there is none.
  std::string archive_json;
  /// Modes that tracing had baked in, before load_script made them follow train() and eval().
  graph::TracedNorms traced;
};

/// Loads a TorchScript file into `unit` (a fresh one when null) after the audit, and rewires what tracing baked in; for
/// "new:NAME" the network from scratch of `seed`, which needs no audit. Every load of the program goes through here.
/// Throws ModelError, UsageError for an unknown network from scratch.
Script load_script(const std::string& path, bool trust, std::shared_ptr<torch::jit::CompilationUnit> unit = nullptr,
                   uint64_t seed = 42);

/// The archive `bytes`, which the program itself made and calls `name`: not audited. Throws ModelError.
Script script_of_bytes(const std::string& name, const std::string& bytes);

/// SHA-256 of what load_script() would load: of the file, or of the bytes of the network from scratch.
std::string backbone_sha256(const std::string& path, uint64_t seed = 42);

/// The names of `taps` ("a,b"; empty: the last legal block whose output is a map [B, C, H, W] on a picture of
/// `size_px`). Throws ModelError for a name that is not a block, or a block that gives no tensor; UsageError for an
/// empty name between commas.
std::vector<std::string> resolve_taps(const Backbone& backbone, const std::string& taps);

/// Names in forward's order.
std::vector<std::string> block_names(const graph::Anatomy& anatomy);

/// A batch the network accepts, for probes: normalised noise [batch, 3, size, size] float32 from a fixed stream.
at::Tensor probe_input(const image::Preprocessing& preprocessing, int64_t batch);

}  // namespace engraft::model
