#include "tensor/precision.h"

#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::tensor {

namespace {

std::string cpu_bf16_unit() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("amx-bf16") != 0) return "AMX";
  if (__builtin_cpu_supports("avx512bf16") != 0) return "AVX-512";
#endif
  return "";
}

}  // namespace

std::string to_text(Precision precision) {
  if (precision == Precision::kInt8) return "int8";
  return precision == Precision::kBfloat16 ? "bf16" : "f32";
}

std::string bf16_unit(const c10::Device& device) {
  if (!device.is_cuda()) return cpu_bf16_unit();
  const c10::DeviceGuard current(device);  // the hook asks about the current device: is its compute capability 8?
  return at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8() ? "tensor cores" : "";
}

std::string int8_unit() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("amx-int8") != 0) return "AMX";
  if (__builtin_cpu_supports("avx512vnni") != 0) return "AVX-512 VNNI";
  if (__builtin_cpu_supports("avxvnni") != 0) return "AVX VNNI";
#endif
  return "";
}

Precision precision_from_text(const std::string& name, const c10::Device& device) {
  if (name == "f32") return Precision::kFloat32;
  if (name == "bf16") return Precision::kBfloat16;
  if (name == "int8") return Precision::kInt8;
  if (name != "auto") throw UsageError("--precision: must be auto, f32, bf16 or int8, not '" + name + "'");
  return bf16_unit(device).empty() ? Precision::kFloat32 : Precision::kBfloat16;
}

AutocastGuard::AutocastGuard(Precision precision, const c10::Device& device)
    : is_active_(precision == Precision::kBfloat16), type_(device.type()) {
  if (!is_active_) return;
  was_enabled_ = at::autocast::is_autocast_enabled(type_);
  dtype_before_ = at::autocast::get_autocast_dtype(type_);
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_, at::kBFloat16);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (!is_active_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, was_enabled_);
  at::autocast::set_autocast_dtype(type_, dtype_before_);
}

}  // namespace engraft::tensor
