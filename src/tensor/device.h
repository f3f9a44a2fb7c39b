#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

namespace engraft::tensor {

/// "cpu", "cuda", "cuda:1" or "auto" (the first GPU where there is one, else the CPU).
/// LibTorch's CUDA library is opened by the first call that needs it and never for "cpu"; call this before anything
/// else of LibTorch runs, since it cannot be opened once LibTorch has been asked about CUDA.
/// Throws UsageError for other text, for a GPU that is not there, and for a LibTorch without CUDA.
c10::Device device_from_text(const std::string& text);

/// Threads of one operator, and one operator at a time; `threads` 0 leaves LibTorch's own choice (all cores).
/// Returns the number in force. To be called once, before the first operator.
int64_t set_compute_threads(int64_t threads);

/// Seeds LibTorch's generators of every device.
void seed_generators(uint64_t seed);

/// Waits until the device has done what it was given; nothing to do on the CPU.
void synchronize(const c10::Device& device);

/// What is free of the memory of `device`, a GPU that device_from_text gave.
int64_t free_device_bytes(const c10::Device& device);

/// "AVX2, AMD EPYC (AuthenticAMD 25 1 1), 2 compute threads, LibTorch 2.11.0": what bit-equality depends on, with the
/// environment variables that choose kernels, where they are set. Of a processor that Linux does not describe so, what
/// it says.
std::string platform_text();

}  // namespace engraft::tensor
