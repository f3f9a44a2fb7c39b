#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/json.h"

namespace engraft::store {

// The feature store: embeddings of a data set in a folder, with the table that says which row is which picture.
// src/store/FORMAT.md describes it key by key.

/// What one tap gives for one picture.
struct TapShape {
  std::string tap;
  /// {D} for an embedding, {C, H, W} for a feature map.
  std::vector<int64_t> row_shape;
};

struct FeatureStoreOptions {
  std::string folder;
  /// Rows in one file; the last has what is left.
  int64_t shard_rows = 65536;
  std::vector<TapShape> taps;
  /// Names of IndexRow::slices.
  std::vector<std::string> slice_names;
};

/// One line of index.csv.
struct IndexRow {
  std::string image_path;
  /// The label's name, "" without.
  std::string label;
  /// "train", "val", "test" or "".
  std::string split;
  std::vector<std::string> slices;
};

/// Writes a store row by row. Shards appear as they fill, index.csv and skipped.csv at the end, store.json last; a
/// folder without store.json is not a store. Throws SystemError when a write fails. Not thread-safe.
class FeatureStoreWriter {
 public:
  /// Makes the folder. Throws UsageError as require_free_folder, and for no taps, two taps of one name, a tap whose
  /// name cannot be part of a file's name, a slice named twice or like a column of the index, and sizes below 1.
  explicit FeatureStoreWriter(const FeatureStoreOptions& options);
  ~FeatureStoreWriter();
  FeatureStoreWriter(const FeatureStoreWriter&) = delete;
  FeatureStoreWriter& operator=(const FeatureStoreWriter&) = delete;

  /// Adds a row: `taps[t]` points to the product of taps[t].row_shape floats. As many slices as slice_names.
  void append(const IndexRow& row, const std::vector<const float*>& taps);
  /// Adds a line to skipped.csv: a picture that has no row.
  void skip(const std::string& image_path, const std::string& reason);
  int64_t rows() const;
  int64_t skipped() const;

  /// Ends the store. The members of the object `meta` (say `backbone`, `preprocessing`, `data`, with their digests)
  /// stand in store.json after those of the writer, whose names they must not take.
  void finish(const io::Json& meta);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// An open store. Rows are read where they are wanted. Not thread-safe.
class FeatureStoreReader {
 public:
  /// Throws DataError for a folder without store.json, another format or version, and files that are missing or do not
  /// have the size, type or rows that store.json gives.
  explicit FeatureStoreReader(const std::string& folder);
  ~FeatureStoreReader();
  FeatureStoreReader(const FeatureStoreReader&) = delete;
  FeatureStoreReader& operator=(const FeatureStoreReader&) = delete;

  int64_t rows() const;
  const std::vector<TapShape>& taps() const;
  const std::vector<std::string>& slice_names() const;
  const std::vector<IndexRow>& index() const;
  /// The whole of store.json.
  const io::Json& meta() const;

  /// Rows [first, first + count) of a tap into `out`, [count, row_shape…] float32. Throws DataError for a tap that the
  /// store does not hold, naming those it does, and for rows beyond its end.
  void read(const std::string& tap, int64_t first, int64_t count, float* out) const;
  /// All rows of a tap, [rows(), row_shape…].
  std::vector<float> read_all(const std::string& tap) const;
  /// Reads every shard and compares it with its digest. Throws DataError naming the first that differs.
  void verify() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engraft::store
