#include "finetune/cache_places.h"

#include <unistd.h>

#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr double kShareOfMemory = 0.25;
constexpr const char* kInMemory = ", in memory";
constexpr const char* kInstead = "; in memory instead";

int64_t share_of(double bytes) { return static_cast<int64_t>(kShareOfMemory * bytes); }

double physical_memory() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

CachePlaces::CachePlaces(std::string mode, const c10::Device& device, const store::ActivationCache& disk)
    : mode_(std::move(mode)), device_(device), disk_(disk), memory_left_(share_of(physical_memory())) {
  if (device.is_cuda()) device_left_ = share_of(static_cast<double>(tensor::free_device_bytes(device)));
}

bool CachePlaces::take_memory(int64_t bytes) {
  if (bytes > memory_left_) return false;
  memory_left_ -= bytes;
  return true;
}

std::string CachePlaces::take_disk(int64_t bytes) {
  std::string refusal = disk_.refusal(disk_taken_ + bytes);
  if (refusal.empty()) disk_taken_ += bytes;
  return refusal;
}

Placement CachePlaces::for_activations(int64_t bytes, bool is_cheap) {
  if (mode_ == "off") return {Place::kNowhere, ": off; the trunk runs in every epoch"};
  if (mode_ != "disk" && bytes <= device_left_) {
    device_left_ -= bytes;
    return {Place::kDevice, ", in memory of " + device_.str()};
  }
  if (mode_ == "memory" || (mode_ == "auto" && take_memory(bytes))) return {Place::kMemory, kInMemory};
  const std::string otherwise = is_cheap ? "; pictures are decoded in every epoch" : "; the trunk runs in every epoch";
  if (mode_ == "auto" && is_cheap) return {Place::kNowhere, ": too large for memory" + otherwise};
  const std::string refusal = take_disk(bytes);
  if (refusal.empty()) return {Place::kDisk, ", in " + disk_.folder()};
  if (mode_ == "disk" && take_memory(bytes)) return {Place::kMemory, ": " + refusal + kInstead, true};
  return {Place::kNowhere, ": " + refusal + otherwise, true};
}

Placement CachePlaces::for_features(int64_t bytes) {
  const Placement on_disk{Place::kDisk, ", in " + disk_.folder()};
  std::string refusal;
  if (mode_ == "disk" && (refusal = take_disk(bytes)).empty()) return on_disk;
  if (mode_ == "memory" || take_memory(bytes)) {
    const bool is_instead = !refusal.empty();
    return {Place::kMemory, is_instead ? ": " + refusal + kInstead : kInMemory, is_instead};
  }
  if (mode_ == "auto" && (refusal = take_disk(bytes)).empty()) return on_disk;
  return {Place::kNowhere,
          ": more than memory allows" + (refusal.empty() ? "" : ", and on disk " + refusal) +
              "; the backbone runs in every epoch",
          true};
}

}  // namespace engraft::finetune
