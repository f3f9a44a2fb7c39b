#pragma once

#include <cstdint>
#include <string>

#include "model/artifact.h"

namespace engraft::commands {

/// How `predict` writes what a model says of pictures, a line each, as CSV or JSON.
class PredictionText {
 public:
  /// `top`: classes to rank, at most as many as there are; `model` must outlive it. Throws UsageError for more than 1
  /// in regression.
  PredictionText(const model::Artifact& model, int64_t top, bool is_json);

  /// The CSV's first line; "" for JSON.
  ///   one class      image_path,label,score[,label_2,score_2,…]
  ///   multi-label    image_path,label,score[,label_1,score_1,label_2,score_2,…], the first two as predictions_csv has
  ///                  them, the ranked ones where more than 1 are asked for
  ///   regression     image_path,value
  std::string header() const;
  /// `outputs` [width] of model.forward.
  std::string line(const std::string& image_path, const float* outputs, int64_t width) const;

 private:
  std::string ranked_line(const std::string& image_path, const float* logits, int64_t width) const;
  std::string labels_line(const std::string& image_path, const float* logits) const;

  const model::Artifact& model_;
  int64_t top_;
  bool is_json_;
};

}  // namespace engraft::commands
