#include "base/random.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

using namespace engraft;

TEST_CASE("the same seed and key give the same draws, another key gives others", "[unit]") {
  RandomStream a(42, {1, 2}), b(42, {1, 2}), c(42, {2, 1}), d(43, {1, 2});
  const uint64_t first = a.next_u64();
  CHECK(first == b.next_u64());
  CHECK(first != c.next_u64());
  CHECK(first != d.next_u64());
}

TEST_CASE("draws have the moments of their distributions", "[unit]") {
  RandomStream stream(7, {3});
  constexpr int kDraws = 200000;
  double sum = 0, squares = 0, uniform_sum = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double z = stream.normal();
    sum += z;
    squares += z * z;
    uniform_sum += stream.uniform();
  }
  // Five standard errors: the test fails for a wrong stream, not for an unlucky one.
  CHECK(std::abs(sum / kDraws) < 5 / std::sqrt(double(kDraws)));
  CHECK(std::abs(squares / kDraws - 1) < 5 * std::sqrt(2.0 / kDraws));
  CHECK(std::abs(uniform_sum / kDraws - 0.5) < 5 * std::sqrt(1.0 / 12 / kDraws));
}

TEST_CASE("a permutation holds every number once", "[unit]") {
  RandomStream stream(1, {});
  std::vector<int64_t> order = permutation(1000, stream);
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  CHECK(std::set<int64_t>(order.begin(), order.end()).size() == 1000);
  CHECK(*std::max_element(order.begin(), order.end()) == 999);
}

TEST_CASE("below is even over its range", "[unit]") {
  RandomStream stream(5, {9});
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70000; ++i) ++counts[stream.below(7)];
  for (const int count : counts) CHECK(std::abs(count - 10000) < 5 * 93);  // 93 = sqrt(70000 · 1/7 · 6/7)
}

TEST_CASE("draws that are skipped are those that are not made", "[unit]") {
  for (const uint64_t before : {0, 1, 3, 4, 5}) {
    for (const uint64_t skipped : {0, 1, 2, 3, 4, 7, 8, 1001}) {
      INFO(before << " draws, then " << skipped << " skipped");
      RandomStream drawn(7, {1}), skips(7, {1});
      for (uint64_t i = 0; i < before; ++i) CHECK(drawn.next_u32() == skips.next_u32());
      for (uint64_t i = 0; i < skipped; ++i) drawn.next_u32();
      skips.skip(skipped);
      for (int i = 0; i < 9; ++i) CHECK(drawn.next_u32() == skips.next_u32());
    }
  }
  RandomStream once(7, {1}), twice(7, {1});  // across the counter's words
  once.skip((uint64_t{1} << 36) + 6);
  twice.skip((uint64_t{1} << 34) - 3);
  twice.skip((uint64_t{1} << 36) - (uint64_t{1} << 34) + 9);
  CHECK(once.next_u64() == twice.next_u64());
}
