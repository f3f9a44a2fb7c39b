#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/target.h"
#include "image/preprocessing.h"
#include "model/head.h"
#include "tensor/named.h"

namespace engraft::model {

/// How a feature map [B, C, H, W] becomes an embedding [B, D].
enum class Pool { kAverage, kMax, kFlatten, kNone };
Pool pool_from_text(const std::string& text);
std::string to_text(Pool pool);
/// Average and maximum are over H and W; a [B, D] input passes through; kNone changes nothing.
at::Tensor pooled(const at::Tensor& feature_map, Pool pool);

/// What the model learned from, for whoever judges it later.
struct TrainingData {
  /// Where the hash rule split the data; none where they had splits of their own.
  std::optional<double> val_fraction;
  /// data::path_sample of the training split.
  std::vector<std::string> path_sample;
};

struct GraftSpec {
  /// As BackboneOptions::path.
  std::string backbone_path;
  bool trust = false;
  std::string tap;
  Pool pool = Pool::kAverage;
  Target target = Target::kSoftmax;
  /// Of regression: the head's outputs are numbers standardised by it.
  TargetScale scale;
  image::Preprocessing preprocessing;
  std::vector<std::string> classes;
  TrainingData training_data;
  /// Tensors of the extracted backbone that training changed; the others are as in the file.
  std::vector<tensor::NamedTensor> trained;
  /// Backbone::sha256; recorded in engraft.json.
  std::string backbone_sha256;
  /// Of a backbone from scratch.
  uint64_t seed = 42;
};

/// The one-file model as the bytes of a TorchScript archive:
///   forward(x)            float32 [B, 3, H, W], normalised -> logits [B, K] (sigmoid: [B, 1])
///   from_pixels(pixels)   uint8 [B, H, W, 3] -> scores [B, K] (sigmoid: [B, 1])
/// Regression: both give numbers [B, 1] in the units of the labels, the head's outputs · std + mean.
/// with engraft.json inside (models/README.md: "engraft-model"), which holds preprocessing, classes and a self-test.
/// Composed in a CompilationUnit of its own from the backbone as loaded afresh, so the same inputs give the same bytes
/// whatever else the process did. Throws ModelError.
std::string compose_model(const GraftSpec& spec, const Head& head);

}  // namespace engraft::model
