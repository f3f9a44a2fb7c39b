#include "finetune/cache_places.h"

#include <unistd.h>

#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr double kShareOfMemory = 0.25;

int64_t share_of(double bytes) { return static_cast<int64_t>(kShareOfMemory * bytes); }

double physical_memory() {
  return static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

CachePlaces::CachePlaces(std::string mode, const c10::Device& device, const store::ActivationCache& disk)
    : mode_(std::move(mode)), disk_(disk), memory_left_(share_of(physical_memory())) {
  if (device.is_cuda()) device_left_ = share_of(static_cast<double>(tensor::free_device_bytes(device)));
}

bool CachePlaces::take_memory(int64_t bytes) {
  if (bytes > memory_left_) return false;
  memory_left_ -= bytes;
  return true;
}

bool CachePlaces::take_disk(int64_t bytes) {
  if (!disk_.has_room_for(disk_taken_ + bytes)) return false;
  disk_taken_ += bytes;
  return true;
}

Place CachePlaces::for_activations(int64_t bytes, bool is_cheap) {
  if (mode_ == "off") return Place::kNowhere;
  if (mode_ != "disk" && bytes <= device_left_) {
    device_left_ -= bytes;
    return Place::kDevice;
  }
  if (mode_ == "memory") return Place::kMemory;
  if (mode_ == "auto" && take_memory(bytes)) return Place::kMemory;
  return !(mode_ == "auto" && is_cheap) && take_disk(bytes) ? Place::kDisk : Place::kNowhere;
}

Place CachePlaces::for_features(int64_t bytes) {
  if (mode_ == "disk" && take_disk(bytes)) return Place::kDisk;
  if (mode_ == "memory" || take_memory(bytes)) return Place::kMemory;
  return mode_ != "off" && take_disk(bytes) ? Place::kDisk : Place::kNowhere;
}

}  // namespace engraft::finetune
