#include "tensor/blocks.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#ifndef _OPENMP
#error "without OpenMP at::parallel_for runs on one thread"
#endif

namespace engraft::tensor {

int64_t count_blocks(int64_t total, int64_t longest) { return (total + longest - 1) / longest; }

void for_blocks(int64_t total, int64_t longest, const std::function<void(const Block&)>& part) {
  const auto run = [&](int64_t begin, int64_t end) {
    const c10::NoGradGuard no_grad;  // of this thread
    for (int64_t i = begin; i < end; ++i) part({i, i * longest, std::min(longest, total - i * longest)});
  };
  const int64_t blocks = count_blocks(total, longest);
  if (blocks <= 1) {
    run(0, blocks);
  } else {
    at::parallel_for(0, blocks, /*grain_size=*/1, run);
  }
}

}  // namespace engraft::tensor
