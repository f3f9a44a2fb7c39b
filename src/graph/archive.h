#pragma once

#include <torch/csrc/jit/api/module.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>

namespace engraft::graph {

/// Writes `module` as a TorchScript archive with `extra` files (name in `extra/` -> bytes). The bytes depend on the
/// module's classes, values and modes and on `extra` alone: LibTorch's own save also depends on who else holds the
/// tensors and submodules (what is referred to twice gets a memo in the pickle), so that a copy is written; it takes
/// the memory of the weights once more while it runs. `write` gets the bytes in order.
/// Throws what `write` throws, ModelError for what LibTorch cannot save.
void write_archive(const torch::jit::Module& module, const std::map<std::string, std::string>& extra,
                   const std::function<void(const void*, size_t)>& write);

/// The same as one string.
std::string archive_bytes(const torch::jit::Module& module, const std::map<std::string, std::string>& extra = {});

}  // namespace engraft::graph
