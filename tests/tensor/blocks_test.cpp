#include "tensor/blocks.h"

#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace engraft;

namespace {

/// LibTorch's number of threads for as long as it lives.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

std::vector<tensor::Block> blocks_of(int64_t total, int64_t longest) {
  std::vector<tensor::Block> blocks(static_cast<size_t>(tensor::count_blocks(total, longest)));
  tensor::for_blocks(total, longest,
                     [&](const tensor::Block& block) { blocks[static_cast<size_t>(block.index)] = block; });
  return blocks;
}

}  // namespace

TEST_CASE("blocks cover a range once, in pieces that do not depend on the number of threads", "[unit]") {
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    const auto blocks = blocks_of(10, 4);
    REQUIRE(blocks.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(blocks[i].index == static_cast<int64_t>(i));
      CHECK(blocks[i].first == static_cast<int64_t>(4 * i));
      CHECK(blocks[i].count == (i < 2 ? 4 : 2));
    }
    CHECK(blocks_of(0, 4).empty());
    CHECK(blocks_of(4, 4).size() == 1);
  }
}

TEST_CASE("blocks are worked on by as many threads as LibTorch has", "[unit]") {
  for (const size_t threads : {size_t{1}, size_t{2}, size_t{4}}) {
    const Threads scope(static_cast<int>(threads));
    std::mutex mutex;
    std::set<std::thread::id> seen;
    tensor::for_blocks(64, 1, [&](const tensor::Block&) {
      const std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(seen.size() == threads);
  }
}

TEST_CASE("what a block throws passes through", "[unit]") {
  const Threads scope(2);
  CHECK_THROWS_AS(tensor::for_blocks(8, 1,
                                     [](const tensor::Block& block) {
                                       if (block.index == 5) throw std::runtime_error("five");
                                     }),
                  std::runtime_error);
}
