#pragma once

#include <optional>
#include <string>
#include <vector>

#include "finetune/setup.h"
#include "finetune/stage_outcome.h"
#include "store/checkpoint.h"
#include "store/run_folder.h"
#include "train/fit.h"

namespace engraft::finetune {

/// Throws UsageError naming the fields where `record`, the options of now, is not what the run in `folder` was begun
/// with (run.toml); cache, loader threads and the like are not part of it.
void require_same_options(const std::string& folder, const io::Json& record);

/// Where a run goes on.
struct Resumption {
  /// The stage that was being trained.
  int64_t stage = 1;
  /// Lines of metrics that had been written.
  int64_t epochs = 0;
  int64_t steps_before = 0;
  std::vector<StageOutcome> outcomes;
  train::FitStart start;
  io::Json frozen_digests;
};

/// Reads the newest checkpoint of the run in `folder` and puts what earlier stages learned back into the setup; none
/// where there is no checkpoint; warns of those that are damaged. Throws DataError naming what is not that of the
/// checkpoint: options, machine, backbone, preprocessing, or the data, their contents included; then the same bytes
/// cannot be promised.
std::optional<Resumption> read_resumption(const std::string& folder, Setup& setup, Reporter& reporter);

/// Where fit goes on from a checkpoint.
train::FitStart start_of(const store::Checkpoint& checkpoint);

/// Writes checkpoints of one stage, as often as costs at most 1 % of the time, and at most ten minutes apart, or as
/// --checkpoint-every says.
class StageCheckpointer : public train::Checkpointer {
 public:
  /// All must outlive it, and digests_of() was asked of the setup. `steps_before`: of earlier stages; `done`: their
  /// outcomes.
  StageCheckpointer(const Setup& setup, const StagePlan& stage, const model::FrozenProof& proof,
                    const store::RunFolder& folder, const std::vector<StageOutcome>& done, int64_t steps_before);
  bool is_due() override;
  void save(const train::Progress& progress, train::Trainee& trainee, const train::Optimizer& optimizer) override;
  /// What save() writes.
  store::Checkpoint checkpoint_of(const train::Progress& progress, train::Trainee& trainee,
                                  const train::Optimizer& optimizer) const;

 private:
  /// The time to the next, by what one costs.
  void set_interval(double cost_s);

  const Setup& setup_;
  const StagePlan& stage_;
  const model::FrozenProof& proof_;
  const store::RunFolder& folder_;
  const std::vector<StageOutcome>& done_;
  const int64_t steps_before_;
  Stopwatch since_last_;
  double interval_s_ = 0;
  std::optional<std::pair<int64_t, int64_t>> saved_;  // step and epoch
};

}  // namespace engraft::finetune
