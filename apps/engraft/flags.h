#pragma once

#include <string>
#include <vector>

#include "options/schema.h"

namespace engraft::app {

/// Fills `schema` from --config and then from the flags in `arguments` (without program and command name).
/// Returns true when --help was asked for; then nothing is checked. Throws UsageError.
bool read_flags(options::Schema& schema, const std::vector<std::string>& arguments);

}  // namespace engraft::app
