#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "store/feature_store.h"

namespace engraft::store {

/// One file of a tap's array.
struct ShardRecord {
  std::string file;
  int64_t rows = 0;
  /// xxh3-128 of the elements' bytes, 32 hex characters.
  std::string digest;
};

/// A tap as store.json and unfinished.json have it.
struct TapRecord {
  TapShape shape;
  std::vector<ShardRecord> shards;

  int64_t rows() const;
  /// Elements of one row. Throws DataError where they cannot be counted.
  int64_t row_items() const;
};

io::Json to_json(const TapRecord& tap);
/// Throws DataError "WHERE: …" for what is none, and shards that do not lie in the folder.
TapRecord tap_from_json(const io::Json& json, const std::string& where);

/// Opens a shard of `tap`. Throws DataError where it is not what the record says.
std::unique_ptr<ShardReader> open_shard(const std::string& folder, const TapRecord& tap, const ShardRecord& shard,
                                        FeatureType type);

}  // namespace engraft::store
