#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "data/data_options.h"
#include "engine/compute_options.h"
#include "image/preprocessing_flags.h"

namespace engraft::finetune {

struct ScanOptions {
  std::string backbone;
  /// Blocks, commas between them; empty: all that are legal taps.
  std::string taps;
  std::string pool = "avg";
  /// 0: each training picture is left out by itself.
  int64_t folds = 0;
  bool skip_logistic = false;
  int64_t seed = 42;
  double confidence = 0.95;
  bool skip_bad = false;
  double val_fraction = data::kValFraction;
  data::DataOptions data;
  image::PreprocessingFlags preprocessing;
  engine::ComputeOptions compute;
};

template <class Visitor>
void describe(Visitor& v, ScanOptions& o) {
  v.field("backbone", o.backbone, "TorchScript file of the pretrained network").value("FILE").required();
  v.field("taps", o.taps, "blocks to try, separated by commas; default: all whose output can be read").value("BLOCKS");
  v.field("pool", o.pool, "how a feature map becomes an embedding").one_of({"avg", "flatten"});
  v.group("Probes (ridge regression in closed form, and multinomial logistic regression)");
  v.field("folds", o.folds,
          "parts of the training pictures that choose the ridge penalty, each left out in turn; 0: every picture by "
          "itself")
      .at_least(0)
      .at_most(1000);
  v.field("skip_logistic", o.skip_logistic, "ridge regression alone, which is quicker");
  v.field("seed", o.seed, "of what is drawn for the choice of penalties").at_least(0);
  v.field("confidence", o.confidence, "of the intervals").above(0).below(1);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction);
  v.field("skip_bad", o.skip_bad, "go on without pictures that cannot be read");
  describe(v, o.preprocessing);
  describe(v, o.compute);
}

/// How well one block's pooled output tells the classes of a data set apart.
struct TapScore {
  std::string tap;
  std::vector<int64_t> map;  // [C, H, W] or [D]
  int64_t dimension = 0;
  /// Of one picture from the pixels to here, by LibTorch in float32, in batches of kTimedBatch.
  double milliseconds = 0;
  /// For each training picture, where it was left out, and for each validation picture: whether ridge regression on
  /// training pictures gives its class.
  std::vector<bool> left_out_right, ridge_right;
  double ridge_penalty = 0;
  /// For each validation picture; none where logistic regression was not tried, `why_no_logistic` says why.
  std::optional<std::vector<bool>> logistic_right;
  double logistic_penalty = 0;
  std::string why_no_logistic;
};
inline constexpr int64_t kTimedBatch = 8;

struct Suggestion {
  size_t tap = 0;  // of ScanResult::taps
  size_t best = 0;
  /// Of the right pictures of the two, training pictures left out and validation pictures together: the difference of
  /// their shares, and its standard error by the pictures on which they differ.
  double difference = 0, standard_error = 0;
};

struct ScanResult {
  std::vector<TapScore> taps;  // in the order in which they run
  Suggestion suggestion;
  int64_t train_pictures = 0, val_pictures = 0, classes = 0;
  std::string engine;
};

/// The quickest of the taps that are right, by ridge regression, as often as the best one, but for one standard error
/// of the difference between the two (Breiman et al. 1984, the rule of one standard error, here of paired counts).
Suggestion suggest(const std::vector<TapScore>& taps);

/// Runs the network once over all pictures of the training and validation split, reading every tap, and probes each.
/// Throws as list_data, load_backbone, resolve_taps and choose_engine; UsageError where --taps names a block that gives
/// no row; DataError for pictures that cannot be read, but for skip_bad; Stopped.
ScanResult scan(const ScanOptions& options, Reporter& reporter);

}  // namespace engraft::finetune
