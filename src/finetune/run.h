#pragma once

#include <string>

#include "base/report.h"
#include "finetune/train_options.h"
#include "io/json.h"

namespace engraft::finetune {

struct TrainResult {
  /// What result.json holds, on one line.
  std::string result_json;
  /// The same for a person, some lines.
  std::string summary;
};

/// Trains the head and then every stage, and writes the run folder `out` (src/store/FORMAT.md), model.pt and, last of
/// all, result.json. `record` is what run.toml says of the options.
///
/// Head first, on features computed once by the frozen backbone; then each stage unfreezes its blocks and trains them
/// and the head, starting from the best epoch of the stage before, while the trunk below the cut runs on the fly.
/// Whatever a stage freezes is proved to be bit-identical after it. model.pt is reloaded and compared with what is in
/// memory before this returns.
///
/// Throws UsageError, DataError and ModelError for wrong options, data and backbones, before anything is computed
/// where they can be known; Error with ExitCode::kInternal when a frozen tensor moved or the reloaded model differs;
/// Stopped.
TrainResult run_training(const TrainOptions& options, const std::string& out, const io::Json& record,
                         Reporter& reporter);

}  // namespace engraft::finetune
