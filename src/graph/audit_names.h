#pragma once

#include <string>

namespace engraft::graph {

/// Operators of aten and prim that compute on tensors, numbers, strings and lists and touch nothing else.
bool is_allowed_operator(const std::string& name);

/// Builtins of the TorchScript language that the archive's code calls by a plain name.
bool is_allowed_builtin(const std::string& name);

/// All names behind is_allowed_operator(), one blank between them; for its test.
const char* allowed_operator_names();

}  // namespace engraft::graph
