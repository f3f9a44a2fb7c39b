#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/report.h"
#include "io/json.h"
#include "tensor/named.h"

namespace engraft::store {

/// What a run can go on from (src/store/FORMAT.md): the folder `checkpoints/step-N` of a run.
struct Checkpoint {
  /// Steps done in the run, all stages together.
  int64_t step = 0;
  io::Json state;
  std::vector<tensor::NamedTensor> weights;
  std::vector<tensor::NamedTensor> optimizer;
};

/// Writes a checkpoint below the run folder `run`: under a temporary name, renamed into place, then all but the two
/// newest are removed. Throws SystemError.
void write_checkpoint(const std::string& run, const Checkpoint& checkpoint);

/// The newest whole checkpoint below `run`, its tensors on the CPU; none where there is none. One that is damaged is
/// passed over for the one before it, with a warning.
std::optional<Checkpoint> newest_checkpoint(const std::string& run, Reporter& reporter);

/// The step of the newest checkpoint below `run` by its name, which is not opened; none where there is none.
std::optional<int64_t> newest_checkpoint_step(const std::string& run);

/// Removes all checkpoints of a run.
void remove_checkpoints(const std::string& run);

/// `tensors` as a .safetensors file, by AtomicFile. Throws SystemError, also for a dtype that safetensors has not.
void write_tensors(const std::string& path, const std::vector<tensor::NamedTensor>& tensors);

}  // namespace engraft::store
