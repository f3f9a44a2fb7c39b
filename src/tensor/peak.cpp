#include "tensor/peak.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

#include "base/errors.h"
#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#endif

namespace engraft::tensor {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// How often `threads` threads together call `work` a second, from the moment when all are there.
double calls_per_second(int64_t threads, double seconds, const std::function<void(int64_t thread)>& work) {
  std::atomic<int64_t> ready{0};
  std::atomic<bool> is_over{false};
  std::vector<double> rates(static_cast<size_t>(threads), 0.0);
  const auto run = [&](int64_t thread) {
    work(thread);  // wakes the unit, maps the pages
    ++ready;
    while (ready < threads && !is_over) std::this_thread::yield();
    const Clock::time_point start = Clock::now();
    int64_t calls = 0;
    do {
      work(thread);
      ++calls;
    } while (seconds_since(start) < seconds);
    rates[static_cast<size_t>(thread)] = static_cast<double>(calls) / seconds_since(start);
  };
  std::vector<std::thread> others;
  try {
    for (int64_t thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  } catch (const std::system_error& error) {
    is_over = true;
    for (std::thread& other : others) other.join();
    throw SystemError(std::string("cannot start a thread: ") + error.what());
  }
  run(0);
  for (std::thread& other : others) other.join();
  double sum = 0;
  for (const double rate : rates) sum += rate;
  return sum;
}

/// One way of multiplying and adding: what a call of `run` does, in additions and multiplications.
struct Kernel {
  const char* unit = "";
  double ops = 0;
  void (*run)() = nullptr;
};

#if defined(__x86_64__)

constexpr int kRounds = 4096;  // a call takes microseconds

// Note [Registers]
// ~~~~~~~~~~~~~~~~
// A multiply-add takes four cycles or so and two begin in each, so that eight sums at least must be on their way. The
// empty asm takes the sums through "registers that may have changed": without it the compiler would move what does not
// depend on the loop out of it, or all of it away.
constexpr int kSums = 12;

__attribute__((target("avx2,fma"))) void f32_avx2() {
  __m256 sums[kSums] = {};
  const __m256 factor = _mm256_set1_ps(0.5F);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m256& sum : sums) {
      sum = _mm256_fmadd_ps(factor, factor, sum);
      asm volatile("" : "+x"(sum));
    }
  }
}

__attribute__((target("avx512f"))) void f32_avx512() {
  __m512 sums[kSums] = {};
  const __m512 factor = _mm512_set1_ps(0.5F);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m512& sum : sums) {
      sum = _mm512_fmadd_ps(factor, factor, sum);
      asm volatile("" : "+v"(sum));
    }
  }
}

__attribute__((target("avx512f,avx512bf16"))) void bf16_avx512() {
  __m512 sums[kSums] = {};
  const __m512i half = _mm512_set1_epi16(0x3f00);  // 0.5
  __m512bh factor;
  std::memcpy(&factor, &half, sizeof(factor));
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m512& sum : sums) {
      sum = _mm512_dpbf16_ps(sum, factor, factor);
      asm volatile("" : "+v"(sum));
    }
  }
}

__attribute__((target("avx512f,avx512vnni"))) void int8_avx512() {
  __m512i sums[kSums] = {};
  const __m512i factor = _mm512_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, factor, factor);
      asm volatile("" : "+v"(sum));
    }
  }
}

__attribute__((target("avx2,avxvnni"))) void int8_avx_vnni() {
  __m256i sums[kSums] = {};
  const __m256i factor = _mm256_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m256i& sum : sums) {
      sum = _mm256_dpbusd_avx_epi32(sum, factor, factor);
      asm volatile("" : "+x"(sum));
    }
  }
}

__attribute__((target("avx2"))) void int8_avx2() {
  __m256i sums[kSums] = {};
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i factor = _mm256_set1_epi8(3);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 16
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(factor));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(factor, factor), ones));
      asm volatile("" : "+x"(sum));
    }
  }
}

constexpr int kAmxSums = 4;
constexpr int kAmxRounds = 512;

/// Eight tiles of 16 rows of 64 bytes. The layout is that of LDTILECFG, palette 1; source: Intel's Architectures
/// Software Developer's Manual, volume 1, chapter 18.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Linux gives a process the tiles' registers when it asks.
bool may_use_tiles() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool is_granted = ::syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
  return is_granted;
}

__attribute__((target("amx-tile"))) void begin_tiles() {
  const TileShapes shapes;
  _tile_loadconfig(&shapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

__attribute__((target("amx-tile,amx-bf16"))) void bf16_amx() {
  begin_tiles();
  for (int round = 0; round < kAmxRounds; ++round) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

__attribute__((target("amx-tile,amx-int8"))) void int8_amx() {
  begin_tiles();
  for (int round = 0; round < kAmxRounds; ++round) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_release();
}

Kernel vector_kernel(const char* unit, int products, void (*run)()) {
  return {unit, 2.0 * products * kSums * kRounds, run};
}

Kernel tile_kernel(int products_a_sum, void (*run)()) {
  return {"AMX", 2.0 * 16 * 16 * products_a_sum * kAmxSums * kAmxRounds, run};
}

Kernel kernel_for(Precision precision) {
  const bool has_avx512 = __builtin_cpu_supports("avx512f") != 0;
  switch (precision) {
    case Precision::kFloat32:
      if (has_avx512) return vector_kernel("AVX-512", 16, f32_avx512);
      if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0)
        return vector_kernel("AVX2", 8, f32_avx2);
      return {};
    case Precision::kBfloat16:
      if (__builtin_cpu_supports("amx-bf16") != 0 && may_use_tiles()) return tile_kernel(32, bf16_amx);
      if (__builtin_cpu_supports("avx512bf16") != 0) return vector_kernel("AVX-512", 32, bf16_avx512);
      return {};
    case Precision::kInt8:
      if (__builtin_cpu_supports("amx-int8") != 0 && may_use_tiles()) return tile_kernel(64, int8_amx);
      if (__builtin_cpu_supports("avx512vnni") != 0) return vector_kernel("AVX-512 VNNI", 64, int8_avx512);
      if (__builtin_cpu_supports("avxvnni") != 0) return vector_kernel("AVX VNNI", 32, int8_avx_vnni);
      if (__builtin_cpu_supports("avx2") != 0) return vector_kernel("AVX2", 32, int8_avx2);
      return {};
  }
  return {};
}

#else

Kernel kernel_for(Precision) { return {}; }

#endif

}  // namespace

Peak arithmetic_peak(Precision precision, int64_t threads, double seconds) {
  const Kernel kernel = kernel_for(precision);
  if (kernel.run == nullptr) return {};
  return {kernel.unit, kernel.ops * calls_per_second(threads, seconds, [&](int64_t) { kernel.run(); })};
}

double copy_rate(int64_t threads, int64_t bytes, double seconds) {
  const auto part = static_cast<size_t>(std::max<int64_t>(1, bytes / (2 * threads)));
  std::vector<std::vector<uint8_t>> from(static_cast<size_t>(threads)), to(static_cast<size_t>(threads));
  const double copies = calls_per_second(threads, seconds, [&](int64_t thread) {
    const auto t = static_cast<size_t>(thread);
    if (from[t].empty()) {
      from[t].assign(part, 1);
      to[t].assign(part, 0);
    }
    std::memcpy(to[t].data(), from[t].data(), part);
    asm volatile("" : : "r"(to[t].data()) : "memory");
  });
  return 2.0 * static_cast<double>(part) * copies;
}

int64_t uncached_bytes() {
  constexpr int64_t kLeast = int64_t{512} << 20;
  int64_t cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
  cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  const auto memory = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  return std::min(std::max(kLeast, 4 * cache), memory / 8);
}

}  // namespace engraft::tensor
