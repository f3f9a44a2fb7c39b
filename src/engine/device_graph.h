#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace engraft::engine {

/// Work on a GPU that is recorded once and then started as a whole: a CUDA graph. A network of many small operations
/// is limited by how fast they can be started one by one. One thread at a time.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  /// What the work gives for `pixels` uint8 of the request's sizes in host memory: tensors of their own, which stay
  /// what they are when it runs again.
  virtual std::vector<at::Tensor> run(const uint8_t* pixels) = 0;
};

struct DeviceGraphRequest {
  /// Of the pixels, [B, S, S, 3].
  std::vector<int64_t> sizes;
  /// A GPU's number.
  int device = 0;
  /// The work, on pixels on the GPU. It is called some times before and while it is recorded; while it is, it must not
  /// wait for the GPU, and each time it must start the same operations.
  std::function<std::vector<at::Tensor>(const at::Tensor& pixels)> work;
};

/// The one function of the module lib/engraft/engraft_cuda.so, which builds with ENGRAFT_CUDA have.
using MakeDeviceGraph = DeviceGraph* (*)(const DeviceGraphRequest& request);
constexpr const char* kMakeDeviceGraphName = "engraft_make_device_graph_1";

/// Null where this build has no such module. Throws ModelError where it cannot be opened or the work cannot be
/// recorded, with the reason.
std::unique_ptr<DeviceGraph> make_device_graph(const DeviceGraphRequest& request);

}  // namespace engraft::engine
