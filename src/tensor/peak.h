#pragma once

#include <string>

#include "tensor/precision.h"

namespace engraft::tensor {

/// The most that a processor's arithmetic units give, by running nothing else.
struct Peak {
  /// What computed: "AVX2", "AVX-512", "AVX-512 VNNI", "AVX VNNI", "AMX"; empty where the processor has no unit for the
  /// precision.
  std::string unit;
  /// Additions and multiplications a second, all threads together (2 x the multiply-adds).
  double ops_per_second = 0;
};

/// Multiply-adds of `precision` between registers, on `threads` threads at a time for about `seconds`: what no network
/// can pass. bf16 and int8 are added up in 32 bits. int8 without a unit of its own ("AVX2") adds two products in 16
/// bits first, as libraries do. On a processor that is no x86 with AVX2 nothing is measured. Throws SystemError where
/// threads are refused.
Peak arithmetic_peak(Precision precision, int64_t threads, double seconds);

/// Bytes a second, read and written ones counted, of copies between buffers of `bytes` in all, two a thread, each
/// filled by its own thread; for about `seconds`, twice at least. Throws SystemError as above.
double copy_rate(int64_t threads, int64_t bytes, double seconds);

/// Bytes that no cache of this machine holds: four times its largest one, half a GiB at least, and not more than an
/// eighth of the memory.
int64_t uncached_bytes();

}  // namespace engraft::tensor
