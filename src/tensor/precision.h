#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

namespace engraft::tensor {

/// What convolutions and matrix products are computed in. kInt8: whole numbers of eight bits, for which a network has
/// to be calibrated; LibTorch has no such path here, OpenVINO has.
enum class Precision { kFloat32, kBfloat16, kInt8 };

/// "f32", "bf16" or "int8".
std::string to_text(Precision precision);

/// What multiplies bf16 on `device`: "AMX" or "AVX-512" on a CPU, "tensor cores" on a GPU of compute capability 8.0 and
/// up; empty where nothing does and LibTorch computes bf16 in software, more slowly than float32. A CUDA device must be
/// one that device_from_text gave.
std::string bf16_unit(const c10::Device& device);

/// What multiplies eight-bit numbers on this CPU without losing any: "AMX", "AVX-512 VNNI" or "AVX VNNI"; empty where
/// sums of two products are cut off at 16 bits (AVX2), so that weights must keep to seven.
std::string int8_unit();

/// "f32", "bf16", "int8", or "auto": bf16 where the device has a unit for it. Throws UsageError for other text.
Precision precision_from_text(const std::string& text, const c10::Device& device);

/// While one of bf16 lives, the operators of this thread that LibTorch's autocast lists run in bf16 on devices of its
/// kind, and float32 weights are cast as they are met; one of float32 changes nothing. To be destroyed on the thread
/// that made it, in reverse order. The casts are forgotten where the outermost ends, so that weights may change between
/// two. Backward belongs outside.
class AutocastGuard {
 public:
  AutocastGuard(Precision precision, const c10::Device& device);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  bool is_active_;
  c10::DeviceType type_;
  bool was_enabled_ = false;
  c10::ScalarType dtype_before_ = c10::ScalarType::Undefined;
};

}  // namespace engraft::tensor
