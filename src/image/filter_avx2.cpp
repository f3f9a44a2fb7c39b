#include "image/filter.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#endif

namespace engraft::image::filter {

#if defined(__x86_64__) && defined(__GNUC__)
namespace {

// A weight of 24 bits is split into weight = high * 256 + low, so that pmaddwd can multiply two taps at once in 16
// bits: the sum of weights * samples is (sum of highs * samples) * 256 + (sum of lows * samples), exactly.
constexpr int kLanes = 16;

__attribute__((target("avx2"))) inline __m256i pair_of(int32_t first, int32_t second) {
  return _mm256_set1_epi32(
      static_cast<int32_t>((static_cast<uint32_t>(second) << 16) | (static_cast<uint32_t>(first) & 0xffff)));
}

__attribute__((target("avx2"))) inline __m128i clipped(__m256i high, __m256i low) {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, 8), low);
  const __m256i value = _mm256_srai_epi32(sum, 22);
  return _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
}

/// Sixteen lanes from `source`, all of them readable.
__attribute__((target("avx2"))) inline void weigh_16(const Line& line, const uint8_t* source, uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(1 << 21);
  __m256i high_a = _mm256_setzero_si256(), high_b = high_a, low_a = half, low_b = half;
  for (int t = 0; t < line.taps; t += 2) {
    const bool paired = t + 1 < line.taps;
    const int32_t w0 = line.weights[t], w1 = paired ? line.weights[t + 1] : 0;
    const uint8_t* next = paired ? source + line.stride : source;
    const __m256i high = pair_of(w0 >> 8, w1 >> 8), low = pair_of(w0 & 255, w1 & 255);
    const __m128i s0 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source));
    const __m128i s1 = _mm_loadu_si128(reinterpret_cast<const __m128i*>(next));
    const __m256i a = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(s0, s1));
    const __m256i b = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(s0, s1));
    high_a = _mm256_add_epi32(high_a, _mm256_madd_epi16(a, high));
    low_a = _mm256_add_epi32(low_a, _mm256_madd_epi16(a, low));
    high_b = _mm256_add_epi32(high_b, _mm256_madd_epi16(b, high));
    low_b = _mm256_add_epi32(low_b, _mm256_madd_epi16(b, low));
    source += 2 * line.stride;
  }
  const __m128i bytes = _mm_packus_epi16(clipped(high_a, low_a), clipped(high_b, low_b));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
}

__attribute__((target("avx2"))) void weigh_avx2(const Line& line) {
  int lane = 0;
  for (; lane + kLanes <= line.lanes; lane += kLanes) weigh_16(line, line.source + lane, line.out + lane);
  if (lane == line.lanes) return;
  if (line.lanes >= kLanes) {  // the last sixteen again: lanes do not depend on each other
    weigh_16(line, line.source + line.lanes - kLanes, line.out + line.lanes - kLanes);
    return;
  }
  Line rest = line;
  rest.source += lane;
  rest.out += lane;
  rest.lanes -= lane;
  weigh_portable(rest);
}

}  // namespace

Kernel avx2_kernel() { return __builtin_cpu_supports("avx2") ? weigh_avx2 : nullptr; }
#else
Kernel avx2_kernel() { return nullptr; }
#endif

}  // namespace engraft::image::filter
