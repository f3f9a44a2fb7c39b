#pragma once

#include <cstdint>
#include <functional>

namespace engraft::tensor {

/// A range of a tensor's elements in the order of memory.
struct Block {
  int64_t index = 0;
  int64_t first = 0;
  int64_t count = 0;
};

/// Number of blocks of at most `longest` elements that `total` ones make.
int64_t count_blocks(int64_t total, int64_t longest);

/// Calls `part` for the blocks of [0, total), on as many threads as LibTorch has, where there is more than one; what a
/// call does with LibTorch stays on its thread, without gradients. Each block has `longest` elements but the last,
/// whatever the number of threads. What `part` throws passes through.
void for_blocks(int64_t total, int64_t longest, const std::function<void(const Block&)>& part);

}  // namespace engraft::tensor
