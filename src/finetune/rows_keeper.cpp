#include "finetune/rows_keeper.h"

#include "base/errors.h"
#include "base/text.h"

namespace engraft::finetune {

RowsKeeper::RowsKeeper(Wanted wanted, const io::Json& key, CachePlaces& places, Reporter& reporter)
    : wanted_(std::move(wanted)), places_(places), reporter_(reporter) {
  if (wanted_.place != Place::kDisk) {
    const c10::Device device = wanted_.place == Place::kDevice ? places.device() : c10::Device(c10::kCPU);
    memory_ = store::make_memory_writer(wanted_.rows, device);
    return;
  }
  try {
    disk_ = places.disk().begin(key, wanted_.bytes);
  } catch (const SystemError& refused) {
    leave_disk(refused.what());
  }
}

void RowsKeeper::leave_disk(const std::string& cause) {
  if (places_.take_memory(wanted_.bytes)) {
    memory_ = store::make_memory_writer(wanted_.rows, c10::Device(c10::kCPU));
    try {
      if (disk_) disk_->copy_to(*memory_);
    } catch (const SystemError&) {
      memory_.reset();
    }
  }
  disk_.reset();
  wanted_.place = memory_ ? Place::kMemory : Place::kNowhere;
  const char* otherwise = wanted_.is_features ? "the backbone runs in every epoch" : "the trunk runs in every epoch";
  reporter_.warn(text::cat("cache: ", wanted_.name, ": ", cause, "; ", memory_ ? "in memory instead" : otherwise));
}

void RowsKeeper::append(const at::Tensor& output) {
  if (disk_) {
    try {
      return disk_->append(output);
    } catch (const SystemError& refused) {
      leave_disk(refused.what());
    }
  }
  if (memory_) memory_->append(output);
}

store::ActivationRows RowsKeeper::finish(const std::vector<std::pair<int64_t, std::string>>& bad) {
  if (disk_) {
    try {
      return disk_->finish(bad).rows;
    } catch (const SystemError& refused) {
      leave_disk(refused.what());
    }
  }
  return memory_ ? memory_->finish(bad).rows : store::ActivationRows();
}

}  // namespace engraft::finetune
