#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "finetune/train_options.h"
#include "io/json.h"

namespace engraft::finetune {

/// A training of a head alone among others on the same features.
struct HeadRun {
  TrainOptions options;
  /// What run.toml says of the options.
  io::Json record;
  /// Its run folder; what is there is removed first.
  std::string out;
  /// It has a result already and is trained for what the others are beside it alone, or not at all.
  bool is_done = false;
};

/// Why a run has no result; empty where it has one.
using HeadRunEnd = std::function<void(size_t run, const std::string& failure)>;

/// Trains the heads of `runs`, whose options differ in nothing that features depend on and which can_stand_together(),
/// as one stack. Each folder gets what a run's has (src/store/FORMAT.md) but model.pt, checkpoints and the figures of
/// the test split; head.safetensors has the weights. Figures are those of the head on the features, by the engine and
/// in the precision that computed these. `on_end` hears of each when its folder is complete. False, and nothing is
/// done, where the features fit neither into memory nor into the cache on disk: a run alone can do without. Throws as
/// set_up and fit_heads.
bool run_heads(const std::vector<HeadRun>& runs, bool halves, Reporter& reporter, const HeadRunEnd& on_end);

}  // namespace engraft::finetune
