#pragma once

#include <exception>
#include <string>

namespace engraft::graph {

/// The one line of a LibTorch error that says what is wrong, without backtraces of C++ or TorchScript.
std::string reason(const std::exception& error);

}  // namespace engraft::graph
