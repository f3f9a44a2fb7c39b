#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "image/preprocessing.h"

namespace engraft::engine {

struct EngineOptions {
  image::Preprocessing preprocessing;
  /// Every run has this many pictures, so that an engine may compile for one shape.
  int64_t batch_size = 32;
  c10::Device device = c10::Device(c10::kCPU);
};

/// Runs a frozen network on pictures. One thread at a time.
class Engine {
 public:
  virtual ~Engine() = default;
  /// "torch f32": what ran, for records.
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

/// Moves a module's tensors to `device` and its 4-D parameters to channels_last, in place.
void prepare_module(const torch::jit::Module& module, const c10::Device& device);

}  // namespace engraft::engine
