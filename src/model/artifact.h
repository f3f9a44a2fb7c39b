#pragma once

#include <torch/csrc/jit/api/module.h>

#include <optional>
#include <string>
#include <vector>

#include "image/preprocessing.h"
#include "io/json.h"
#include "model/compose.h"

namespace engraft::model {

/// A model.pt as loaded, on the CPU, in eval mode.
struct Artifact {
  std::string path;
  torch::jit::Module module;
  std::vector<std::string> classes;
  image::Preprocessing preprocessing;
  Target target = Target::kSoftmax;
  /// Of regression: that of the training labels.
  TargetScale scale;
  TrainingData training_data;
  /// All of engraft.json, as text.
  std::string about_json;
};

/// Loads a model.pt after the audit, checks its format and runs its self-test (at most 1e-3 from what was recorded,
/// relative to the largest logit; in regression, where a number near 0 may be right, at least to the labels' standard
/// deviation). Throws ModelError naming what is wrong.
Artifact load_artifact(const std::string& path, bool trust);

/// True when the archive holds an engraft.json of a model rather than of a backbone.
bool is_model_json(const std::string& archive_json);

/// The record of a self-test: logits of `module` on one picture drawn from a counter stream,
/// {"seed": s, "logits": [...]}. Float32, on the module's device. Throws ModelError where one is not finite.
io::Json self_test(const torch::jit::Module& module, const image::Preprocessing& preprocessing);

}  // namespace engraft::model
