#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "image/preprocessing.h"
#include "tensor/precision.h"

namespace engraft::engine {

struct EngineOptions {
  image::Preprocessing preprocessing;
  /// Every run has this many pictures, so that an engine may compile for one shape.
  int64_t batch_size = 32;
  c10::Device device = c10::Device(c10::kCPU);
  /// What the network computes in; its outputs are float32 in any case.
  tensor::Precision precision = tensor::Precision::kFloat32;
};

/// What runs, for records and keys: "torch f32", "torch bf16 AVX-512"; "torch bf16 in software" where the device has no
/// unit for it. Equal names on equal machines give equal bytes.
std::string engine_name(const EngineOptions& options);

/// Runs a frozen network on pictures. One thread at a time.
class Engine {
 public:
  virtual ~Engine() = default;
  /// As engine_name.
  virtual std::string name() const = 0;
  virtual const EngineOptions& options() const = 0;
  /// Maps `pixels` uint8 [batch_size, size, size, 3] RGB in host memory to the network's outputs, in order, each
  /// [batch_size, …] float32 on the engine's device, without gradients. Throws ModelError naming the cause.
  virtual std::vector<at::Tensor> run(const uint8_t* pixels) = 0;
};

/// LibTorch runs `method` of `module`, which gives a tensor or a tuple of tensors; with an empty `method` the output is
/// the normalised pictures themselves. The module is shared, not copied:
/// it is moved to the device and its convolution weights to channels_last in place, and stays in the modes it has, so
/// what learns elsewhere is seen by the next run.
std::unique_ptr<Engine> make_torch_engine(const torch::jit::Module& module, const std::string& method,
                                          const EngineOptions& options);

/// What `method` of `module` gives for one grey picture, on the CPU: outputs [1, …], for their shapes.
std::vector<at::Tensor> run_grey(const torch::jit::Module& module, const std::string& method,
                                 const image::Preprocessing& preprocessing);

/// Moves a module's tensors to `device` and its 4-D parameters to channels_last, in place. Tensors of one dimension and
/// more that stand in its code as constants, as traces leave them, are moved as well.
void prepare_module(const torch::jit::Module& module, const c10::Device& device);

}  // namespace engraft::engine
