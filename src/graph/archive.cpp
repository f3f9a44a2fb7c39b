#include "graph/archive.h"

#include <torch/csrc/jit/serialization/export.h>

#include "base/errors.h"
#include "graph/reason.h"

namespace engraft::graph {

void write_archive(const torch::jit::Module& module, const std::map<std::string, std::string>& extra,
                   const std::function<void(const void*, size_t)>& write) try {
  torch::jit::ExtraFilesMap files;
  for (const auto& [name, bytes] : extra) files.emplace(name, bytes);
  const torch::jit::Module copy = module.deepcopy();
  const std::function<size_t(const void*, size_t)> writer = [&](const void* data, size_t size) {
    write(data, size);
    return size;
  };
  torch::jit::ExportModule(copy, writer, files);
} catch (const c10::Error& error) {
  throw ModelError("cannot save the module: " + reason(error));
}

std::string archive_bytes(const torch::jit::Module& module, const std::map<std::string, std::string>& extra) {
  std::string bytes;
  write_archive(module, extra,
                [&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); });
  return bytes;
}

}  // namespace engraft::graph
