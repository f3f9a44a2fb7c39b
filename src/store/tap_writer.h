#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "io/digest.h"
#include "store/tap_record.h"

namespace engraft::store {

/// Writes the shards of one tap, one open at a time. Throws SystemError.
class TapWriter {
 public:
  /// Goes on behind the shards of `record`.
  TapWriter(const FeatureStoreOptions& options, TapRecord record);

  /// The tap with its whole shards.
  const TapRecord& record() const { return record_; }
  /// Rows in the store's type.
  void append(const void* data, int64_t rows);
  /// Ends the open shard, if there is one.
  void close();
  /// The same; an array without rows gets one shard all the same, which tells its shape.
  void finish();

 private:
  void open();

  std::string folder_;
  FeatureType type_;
  bool is_only_tap_;
  TapRecord record_;
  std::string name_;
  std::unique_ptr<io::RowWriter> shard_;
  std::optional<io::Xxh128> digest_;
};

}  // namespace engraft::store
