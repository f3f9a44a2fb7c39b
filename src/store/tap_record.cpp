#include "store/tap_record.h"

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "store/json_fields.h"

namespace engraft::store {

int64_t TapRecord::rows() const {
  int64_t rows = 0;
  for (const ShardRecord& shard : shards) rows += shard.rows;
  return rows;
}

int64_t TapRecord::row_items() const {
  int64_t items = 1;
  for (const int64_t size : shape.row_shape) {
    if (__builtin_mul_overflow(items, size, &items))
      throw DataError("tap '" + shape.tap + "': row_shape " + text::shape(shape.row_shape) + " is too large");
  }
  return items;
}

io::Json to_json(const TapRecord& tap) {
  io::Json out;
  out["tap"] = tap.shape.tap;
  out["row_shape"] = tap.shape.row_shape;
  out["shards"] = io::Json::array();
  for (const ShardRecord& shard : tap.shards) {
    io::Json entry;
    entry["file"] = shard.file;
    entry["rows"] = shard.rows;
    entry["xxh3_128"] = shard.digest;
    out["shards"].push_back(std::move(entry));
  }
  return out;
}

TapRecord tap_from_json(const io::Json& json, const std::string& where) {
  const JsonFields fields(json, where + ": taps");
  TapRecord tap{{fields.word("tap"), fields.sizes("row_shape")}, {}};
  tap.row_items();  // for what it throws
  for (const io::Json& entry : fields.list("shards")) {
    const JsonFields shard(entry, where + ": shards");
    tap.shards.push_back({shard.word("file"), shard.integer("rows"), shard.word("xxh3_128")});
    const std::string& name = tap.shards.back().file;
    if (name.find('/') != std::string::npos) throw DataError(where + ": shard '" + name + "' is not in the folder");
  }
  return tap;
}

std::unique_ptr<ShardReader> open_shard(const std::string& folder, const TapRecord& tap, const ShardRecord& shard,
                                        FeatureType type) {
  const std::string path = folder + "/" + shard.file;
  auto file = open_shard(path, type);
  std::vector<int64_t> expected = tap.shape.row_shape;
  expected.insert(expected.begin(), shard.rows);
  if (file->shape() == expected) return file;
  throw DataError(text::cat(path, ": holds ", text::shape(file->shape()), "; the store says ", text::shape(expected)));
}

}  // namespace engraft::store
