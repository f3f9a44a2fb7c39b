#include "tensor/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>
#include <torch/csrc/jit/codegen/fuser/interface.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/headeronly/version.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <vector>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::tensor {

namespace {

/// Empty when LibTorch's CUDA library is open, else why not. The driver is asked for first: without one the library,
/// a gigabyte, is not even mapped.
std::string open_cuda() {
  if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr)
    return "no NVIDIA driver (libcuda.so.1) is installed";
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return text::cat("LibTorch's CUDA library cannot be opened: ", ::dlerror());
  }
  if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0) return "the driver reports no GPU";
  return "";
}

/// Float32 that is float32 (no tf32), and the same kernels from the first batch to the last.
void ask_for_exact_cuda() {
  at::Context& context = at::globalContext();
  context.setAllowTF32CuDNN(false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  torch::jit::setTensorExprFuserEnabled(false);
  torch::jit::overrideCanFuseOnGPU(false);
}

/// The first processor of /proc/cpuinfo: its name, and vendor, family, model and stepping, or ARM's words for them.
std::string processor_text() {
  std::map<std::string, std::string> fields;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line) && !text::trim(line).empty();) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos)
      fields.emplace(text::trim(line.substr(0, colon)), text::trim(line.substr(colon + 1)));
  }
  std::vector<std::string> kind;
  for (const char* key : {"vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU architecture",
                          "CPU variant", "CPU part", "CPU revision"}) {
    if (fields.count(key) > 0) kind.push_back(fields[key]);
  }
  const std::string name = fields.count("model name") > 0 ? fields["model name"] : "unnamed processor";
  return kind.empty() ? name : text::cat(name, " (", text::join(kind, " "), ")");
}

/// What the environment says of the kernels that LibTorch's libraries take.
std::string kernel_choice() {
  std::string out;
  for (const char* name : {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS",
                           "DNNL_CPU_ISA_HINTS", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"}) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') out += text::cat(", ", name, "=", value);
  }
  return out;
}

}  // namespace

c10::Device device_from_text(const std::string& name) {
  const std::string wanted = text::lower(name);
  if (wanted == "cpu") return c10::Device(c10::kCPU);
  if (wanted == "auto") {
    if (!open_cuda().empty()) return c10::Device(c10::kCPU);
    ask_for_exact_cuda();
    return c10::Device(c10::kCUDA, 0);
  }
  const bool numbered = text::starts_with(wanted, "cuda:");
  const auto index = numbered ? text::to_int(wanted.substr(5)) : std::optional<int64_t>(0);
  if ((wanted != "cuda" && !numbered) || !index || *index < 0 || *index > 127) {
    throw UsageError("--device: must be auto, cpu, cuda or cuda:N, not '" + name + "'");
  }
  const std::string problem = open_cuda();
  if (!problem.empty()) throw UsageError("--device " + name + ": " + problem + "; --device cpu works everywhere");
  const int64_t count = at::detail::getCUDAHooks().deviceCount();
  if (*index >= count) {
    throw UsageError(text::cat("--device ", name, ": there ", count == 1 ? "is " : "are ", text::count_of(count, "GPU"),
                               " here, numbered from 0"));
  }
  ask_for_exact_cuda();
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(*index));
}

int64_t set_compute_threads(int64_t threads) {
  if (at::get_num_interop_threads() != 1) at::set_num_interop_threads(1);  // can be set only once
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  return at::get_num_threads();
}

void seed_generators(uint64_t seed) { at::manual_seed(seed); }

void synchronize(const c10::Device& device) {
  if (device.is_cuda()) at::detail::getCUDAHooks().deviceSynchronize(device.index());
}

int64_t free_device_bytes(const c10::Device& device) {
  return static_cast<int64_t>(c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
}

std::string platform_text() {
  return text::cat(at::get_cpu_capability(), ", ", processor_text(), ", ",
                   text::count_of(at::get_num_threads(), "compute thread"), ", LibTorch ", TORCH_VERSION,
                   kernel_choice());
}

}  // namespace engraft::tensor
