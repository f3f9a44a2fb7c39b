#pragma once

#include <optional>
#include <string>

#include "store/unfinished.h"

namespace engraft::store {

/// What a writer of `mode` goes on from: where a writing was cut off, or behind a finished store; none where it begins
/// a store. What a kill left half written is taken away, and the unfinished tables are cut back. Throws as
/// FeatureStoreWriter.
std::optional<Unfinished> begun_writing(const FeatureStoreOptions& options, const std::string& computed,
                                        StoreMode mode);

/// Throws DataError, with `advice` at its end, naming the members in which two JSON objects differ.
void require_same_object(const std::string& folder, const std::string& before, const std::string& now,
                         const std::string& advice);

}  // namespace engraft::store
