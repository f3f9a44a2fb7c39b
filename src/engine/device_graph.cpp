#include "engine/device_graph.h"

#include "base/errors.h"
#include "base/plugin.h"

namespace engraft::engine {

std::unique_ptr<DeviceGraph> make_device_graph(const DeviceGraphRequest& request) {
  static const Plugin plugin = load_plugin("engraft_cuda.so", kMakeDeviceGraphName);
  if (!plugin.is_there) return nullptr;
  if (plugin.function == nullptr) throw ModelError("CUDA graph: its module cannot be opened: " + plugin.problem);
  return std::unique_ptr<DeviceGraph>(reinterpret_cast<MakeDeviceGraph>(plugin.function)(request));
}

}  // namespace engraft::engine
