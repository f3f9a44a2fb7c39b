#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "store/activation_cache.h"

namespace engraft::finetune {

/// Where rows that the frozen part computes are kept.
enum class Place { kNowhere, kMemory, kDevice, kDisk };

/// Gives out places until they are full: a quarter of the device's free memory, then a quarter of this machine's, then
/// the disk up to the cache's limit.
class CachePlaces {
 public:
  /// `mode` as --cache has it; `disk` must outlive it.
  CachePlaces(std::string mode, const c10::Device& device, const store::ActivationCache& disk);

  /// For activations of `bytes`, by the mode. `is_cheap`: computing them again costs no more than a disk would.
  Place for_activations(int64_t bytes, bool is_cheap);
  /// For a head's features, which are kept by "off" as well.
  Place for_features(int64_t bytes);

 private:
  bool take_memory(int64_t bytes);
  bool take_disk(int64_t bytes);

  std::string mode_;
  const store::ActivationCache& disk_;
  int64_t memory_left_ = 0, device_left_ = 0, disk_taken_ = 0;
};

}  // namespace engraft::finetune
