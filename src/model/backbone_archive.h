#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "image/preprocessing.h"

namespace engraft::model {

/// What engraft.json of a backbone says (models/README.md).
struct BackboneRecord {
  std::string name;
  std::string source;
  std::string licence;
  /// What the network is.
  std::string architecture;
  /// As Anatomy names them.
  std::vector<std::string> blocks;
  image::Preprocessing preprocessing;
  /// Weights of two dimensions and more as float16: half the bytes. Norms and biases stay float32.
  bool has_half_weights = false;
};

/// `backbone`, which is not changed, as the bytes of a TorchScript archive with engraft.json inside, in eval mode: the
/// same bytes for the same weights. Throws ModelError for what cannot be saved, or a weight beyond float16.
std::string backbone_archive(const torch::jit::Module& backbone, const BackboneRecord& record);

/// Makes the module's float16 parameters float32, in place, where `archive_json` (engraft.json) says that
/// backbone_archive() stored them so; a network that means to compute in halves is left alone. Other programs:
/// torch.jit.load(path).float().
void widen_stored_halves(const torch::jit::Module& module, const std::string& archive_json);

/// SHA-256 over all parameters and buffers, as models/README.md defines weights_sha256, in lower-case hex.
std::string weights_sha256(const torch::jit::Module& module);

}  // namespace engraft::model
