#pragma once

#include <string>

namespace engraft::store {

/// Throws UsageError, naming `folder` and what it holds (a feature store, a run, finished or not, or something
/// else), unless it is free to be written to: not there yet, or empty. To be asked before any work.
void require_free_folder(const std::string& folder);

}  // namespace engraft::store
