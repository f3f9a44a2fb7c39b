#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace engraft {

/// A counter-based random stream: its n-th draw is a pure function of the seed, the key and n, on every machine and
/// thread count. Philox4x32-10, Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
///
/// The key says what is drawn ({stage, epoch, row}, say); two different keys give independent streams.
/// Not thread-safe: make one where you draw, making costs nothing.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::initializer_list<uint64_t> key);

  uint32_t next_u32();
  uint64_t next_u64();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n), without bias; n > 0.
  uint64_t below(uint64_t n);
  /// Passes over as many draws of next_u32() (uniform() makes two of them), in no time whatever their number.
  void skip(uint64_t draws);
  /// Standard normal by Box and Muller.
  double normal();

 private:
  void refill();

  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
};

/// 0 … n-1 in an order that depends on the stream alone (Fisher and Yates).
std::vector<int64_t> permutation(int64_t n, RandomStream& stream);

/// A 64-bit mix of two words (splitmix64's finaliser), for deriving seeds.
uint64_t mix(uint64_t a, uint64_t b);

}  // namespace engraft
