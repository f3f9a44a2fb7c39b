#pragma once

#include <ATen/record_function.h>

#include <cstdint>

namespace engraft::graph {

/// Counts floating-point operations (2 x multiply-adds) of what this thread runs while it lives: convolutions, matrix
/// products and fused attention. Each product is counted where it is done, so that linear over addmm counts once.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  int64_t flops() const { return flops_; }

 private:
  int64_t flops_ = 0;
  at::CallbackHandle handle_ = 0;
};

}  // namespace engraft::graph
