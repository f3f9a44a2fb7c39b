#include "train/head_kernels.h"

#include "train/optimizer_rules.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace engraft::train {

#if defined(__x86_64__)

namespace {

__attribute__((target("avx2"))) inline float sum_of_eight(__m256 x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

namespace avx512 {

#define ENGRAFT_TARGET __attribute__((target("avx512f,avx512dq")))

using Vector = __m512;
constexpr int64_t kLanes = 16;
constexpr int64_t kTileRows = 4, kTileOutputs = 5;  // 20 sums, 5 weights and a row of 32 registers
constexpr int64_t kTileUpdated = 8;                 // 16 sums, 2 inputs, a factor

ENGRAFT_TARGET inline Vector load(const float* from) { return _mm512_loadu_ps(from); }
ENGRAFT_TARGET inline void store(float* to, Vector value) { _mm512_storeu_ps(to, value); }
ENGRAFT_TARGET inline Vector spread(double value) { return _mm512_set1_ps(static_cast<float>(value)); }
ENGRAFT_TARGET inline Vector fused(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
// With masks of all ones, since GCC 12 warns of what its header leaves open on purpose in the plain ones (bug 105593).
ENGRAFT_TARGET inline Vector root(Vector x) { return _mm512_maskz_sqrt_ps(0xFFFF, x); }
ENGRAFT_TARGET inline float lane_sum(Vector x) {
  return sum_of_eight(_mm512_maskz_extractf32x8_ps(0xFF, x, 0) + _mm512_maskz_extractf32x8_ps(0xFF, x, 1));
}

#include "train/head_kernels.inc"
#undef ENGRAFT_TARGET

}  // namespace avx512

namespace avx2 {

#define ENGRAFT_TARGET __attribute__((target("avx2,fma")))

using Vector = __m256;
constexpr int64_t kLanes = 8;
constexpr int64_t kTileRows = 2, kTileOutputs = 5;  // 10 sums, 4 to 5 weights and a row of 16 registers
constexpr int64_t kTileUpdated = 6;                 // 12 sums, 2 inputs, a factor

ENGRAFT_TARGET inline Vector load(const float* from) { return _mm256_loadu_ps(from); }
ENGRAFT_TARGET inline void store(float* to, Vector value) { _mm256_storeu_ps(to, value); }
ENGRAFT_TARGET inline Vector spread(double value) { return _mm256_set1_ps(static_cast<float>(value)); }
ENGRAFT_TARGET inline Vector fused(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
ENGRAFT_TARGET inline Vector root(Vector x) { return _mm256_sqrt_ps(x); }
ENGRAFT_TARGET inline float lane_sum(Vector x) { return sum_of_eight(x); }

#include "train/head_kernels.inc"
#undef ENGRAFT_TARGET

}  // namespace avx2

}  // namespace

const std::vector<const HeadKernels*>& head_kernels() {
  static const std::vector<const HeadKernels*> known = [] {
    std::vector<const HeadKernels*> out;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) out.push_back(&avx512::kKernels);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) out.push_back(&avx2::kKernels);
    return out;
  }();
  return known;
}

#else

const std::vector<const HeadKernels*>& head_kernels() {
  static const std::vector<const HeadKernels*> none;
  return none;
}

#endif

}  // namespace engraft::train
