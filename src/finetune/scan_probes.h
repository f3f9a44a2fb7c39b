#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "finetune/scan.h"

namespace engraft::finetune {

/// Rows of one tap and their classes, from 0.
struct ProbeRows {
  at::Tensor rows;  // [N, D] float32, on the CPU
  std::vector<int64_t> labels;
};

/// Fills the probes' part of `score`. Throws Stopped, and as train::Ridge.
void probe_rows(const ProbeRows& train, const ProbeRows& val, int64_t classes, const ScanOptions& options,
                TapScore& score);

}  // namespace engraft::finetune
