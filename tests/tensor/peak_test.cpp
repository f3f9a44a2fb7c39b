#include "tensor/peak.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/report.h"

using namespace engraft;
using tensor::arithmetic_peak;
using tensor::copy_rate;
using tensor::Precision;

#if defined(__x86_64__)

// No time is asserted but that a count of operations a second is one: LibTorch's own product, which does nothing else
// either, cannot be several times faster than what is said to be the most there is.
TEST_CASE("the peak of float32 is above what LibTorch's matrix product reaches, and not absurdly", "[unit]") {
  const tensor::Peak peak = arithmetic_peak(Precision::kFloat32, at::get_num_threads(), 0.05);
  REQUIRE_FALSE(peak.unit.empty());
  constexpr int64_t kSide = 512;
  const at::Tensor a = at::ones({kSide, kSide}), b = at::ones({kSide, kSide});
  double best = 0;
  for (int i = 0; i < 20; ++i) {
    const Stopwatch watch;
    const at::Tensor c = at::mm(a, b);
    best = std::max(best, 2.0 * kSide * kSide * kSide / watch.seconds());
  }
  CHECK(peak.ops_per_second * 2 > best);
  CHECK(peak.ops_per_second < best * 100);
}

TEST_CASE("bf16 and int8 have a peak where the processor has a unit for them, named as elsewhere", "[unit]") {
  const std::string bf16 = tensor::bf16_unit(c10::Device(c10::kCPU));
  const tensor::Peak of_bf16 = arithmetic_peak(Precision::kBfloat16, 1, 0.01);
  CHECK(of_bf16.unit == bf16);
  CHECK((of_bf16.ops_per_second > 0) == !bf16.empty());
  const tensor::Peak of_int8 = arithmetic_peak(Precision::kInt8, 1, 0.01);
  CHECK(of_int8.unit == (tensor::int8_unit().empty() ? "AVX2" : tensor::int8_unit()));
  CHECK(of_int8.ops_per_second > 0);
}

#endif

TEST_CASE("copies are counted on one thread and on several", "[unit]") {
  CHECK(copy_rate(1, 1 << 20, 0.01) > 1e6);
  CHECK(copy_rate(3, 1 << 20, 0.01) > 1e6);
}
