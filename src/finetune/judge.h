#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/compute_options.h"
#include "finetune/forward_pass.h"
#include "finetune/precision.h"
#include "io/json.h"
#include "model/artifact.h"
#include "stats/judgement.h"

namespace engraft::finetune {

/// What a model says of pictures.
struct Judged {
  /// Rows of the listing that were readable.
  std::vector<int64_t> rows;
  /// [rows, width], before softmax or sigmoid; in regression the numbers.
  std::vector<float> logits;
  int64_t width = 0;
  /// The model's.
  Target target = Target::kSoftmax;
  TargetScale scale = {};
  std::vector<BadPicture> bad;
};

/// What judges a model, in which precision, and why.
struct JudgingEngine {
  PrecisionChoice precision;
  std::unique_ptr<engine::Engine> engine;
};

/// As `compute` asks, for `rows` of `listing`: choose_judging_precision and choose_judging_engine. `options` are those
/// of `model`, without precision. Throws as these, and UsageError for int8 by LibTorch.
JudgingEngine make_judging_engine(const model::Artifact& model, const data::Listing& listing,
                                  const std::vector<int64_t>& rows, const engine::ComputeOptions& compute,
                                  engine::EngineOptions options, Reporter& reporter);

/// Runs `engine`, made of `model`, on `rows` of `listing`.
Judged judge(const model::Artifact& model, const data::Listing& listing, const std::vector<int64_t>& rows,
             engine::Engine& engine, const PassOptions& pass, Reporter& reporter);

/// With the listing's labels, all of which must be known.
stats::Answers answers_of(const data::Listing& listing, const Judged& judged);

/// {"rows", the metrics of its target, "top5" (one of five classes or more), "loss"}.
io::Json to_json(const stats::Judgement& result);

/// The metrics and the loss that `record`, as to_json makes it, holds, for a person: "top1 97.25 %, loss 0.1034".
std::string figures_text(const io::Json& record);

/// A line a picture. `image_path,label,score,true_label`: label is the class with the highest score. Multi-label: the
/// classes that are predicted and their scores, each in the order of the classes with kLabelSeparator between them.
/// Regression: `image_path,value,true_value`. The listing's slices follow; one named as a column before it has "slice_"
/// before its name.
std::string predictions_csv(const data::Listing& listing, const Judged& judged,
                            const std::vector<std::string>& classes);

/// What predictions_csv writes as label and score of a multi-label picture's logits [K].
struct LabelsText {
  std::string labels, scores;
};
LabelsText labels_text(const float* logits, const std::vector<std::string>& classes);

/// `image_path,reason`.
std::string skipped_csv(const std::vector<BadPicture>& bad);

}  // namespace engraft::finetune
