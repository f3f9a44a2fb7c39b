#pragma once

#include <string>
#include <vector>

#include "finetune/forward_pass.h"
#include "io/json.h"
#include "model/artifact.h"
#include "stats/classification.h"

namespace engraft::finetune {

/// What a model says of pictures.
struct Judged {
  /// Rows of the listing that were readable.
  std::vector<int64_t> rows;
  /// [rows, width], before softmax or sigmoid.
  std::vector<float> logits;
  int64_t width = 0;
  std::vector<BadPicture> bad;
};

/// Runs `model` on `rows` of `listing`.
Judged judge(const model::Artifact& model, const data::Listing& listing, const std::vector<int64_t>& rows,
             const engine::EngineOptions& engine, const PassOptions& pass, Reporter& reporter);

/// Against the listing's labels, all of which must be known (label >= 0).
stats::Classification classify(const data::Listing& listing, const Judged& judged);

/// {"rows", "top1", "top5" (five classes or more), "loss"}.
io::Json to_json(const stats::Classification& result);

/// `image_path,label,score,true_label`, a line a picture: label is the class with the highest score.
std::string predictions_csv(const data::Listing& listing, const Judged& judged,
                            const std::vector<std::string>& classes);

/// `image_path,reason`.
std::string skipped_csv(const std::vector<BadPicture>& bad);

}  // namespace engraft::finetune
