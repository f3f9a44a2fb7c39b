#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "store/activation_cache.h"

namespace engraft::finetune {

/// Where rows that the frozen part computes are kept.
enum class Place { kNowhere, kMemory, kDevice, kDisk };

/// A place that was given out.
struct Placement {
  Place place;
  /// What stands behind the size of the rows in a line to the user: ", in memory".
  std::string text;
  /// It is not what --cache asked for, or the frozen part runs in every epoch for lack of room.
  bool is_surprising = false;
};

/// Gives out places until they are full: a quarter of the device's free memory, then a quarter of this machine's, then
/// the disk up to the cache's limit.
class CachePlaces {
 public:
  /// `mode` as --cache has it; `disk` must outlive it.
  CachePlaces(std::string mode, const c10::Device& device, const store::ActivationCache& disk);

  /// For activations of `bytes`, by the mode. `is_cheap`: computing them again costs no more than a disk would.
  Placement for_activations(int64_t bytes, bool is_cheap);
  /// For a head's features, which are kept by "off" as well.
  Placement for_features(int64_t bytes);
  /// Takes `bytes` of this machine's memory, for what the disk refused after all; false where they do not fit.
  bool take_memory(int64_t bytes);

  const store::ActivationCache& disk() const { return disk_; }
  const c10::Device& device() const { return device_; }

 private:
  /// Why not; empty where they are taken.
  std::string take_disk(int64_t bytes);

  std::string mode_;
  c10::Device device_;
  const store::ActivationCache& disk_;
  int64_t memory_left_ = 0, device_left_ = 0, disk_taken_ = 0;
};

}  // namespace engraft::finetune
