#pragma once

#include <string>
#include <vector>

namespace engraft::graph {

/// One thing in an archive's code that a pretrained network has no reason to do.
struct Finding {
  std::string record;  // "code/__torch__.py", or another record of the archive
  int line = 0;        // from 1; 0 where there is no line
  std::string what;    // "torch.save is not on the list of operators that networks use"
};

/// Reads the code of a TorchScript archive without running any of it (loading runs `__setstate__`), and lists what is
/// not on the list of operators, builtins and functions that image networks use: writing or reading files, printing,
/// operators of other libraries, custom classes, `__setstate__` and `__getstate__`, code that cannot be parsed.
/// An empty list is the result of an audit, not a proof: this is no sandbox.
/// Throws ModelError where `path` is no TorchScript archive, saying what it is and what to do.
std::vector<Finding> audit(const std::string& path);

/// Throws ModelError for anything but a readable TorchScript archive: a state_dict, a pickle, ONNX, safetensors, HDF5,
/// a web page, a Git LFS pointer, an empty or truncated file, a folder. Called by audit().
void check_is_torchscript(const std::string& path);

}  // namespace engraft::graph
