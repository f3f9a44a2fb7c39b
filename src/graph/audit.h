#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace engraft::graph {

/// A place in a TorchScript archive's code that could do more than compute tensors from tensors.
struct Finding {
  /// Record in the archive ("code/__torch__.py") and line in it, from 1.
  std::string record;
  int64_t line = 0;
  /// What stands there and why it is listed.
  std::string what;
};

/// "code/__torch__.py:12: torch.save reads or writes files".
std::string describe(const Finding& finding);

/// Reads the code of the TorchScript archive at `path` without loading it, since loading runs `__setstate__`. Lists
/// - `__setstate__` and `__getstate__`, which run while a file is loaded or saved;
/// - operators that reach files (torch.save, torch.from_file), and print;
/// - operators outside aten and a list of prim ones, and aten names this LibTorch does not know;
/// - classes made by compiled extensions (torch.classes).
/// It is an audit of what the code says, not a sandbox: a flaw of LibTorch's reader stays a flaw.
///
/// Throws ModelError for anything that is not a TorchScript archive, saying what it is and what to do: a file that
/// cannot be read, an empty or cut one, a pickle or state_dict, ONNX, safetensors, HDF5, a web page, a folder.
std::vector<Finding> audit(const std::string& path);

/// The findings in one record's code; what audit() does to each.
std::vector<Finding> audit_code(const std::string& record, const std::string& code);

}  // namespace engraft::graph
