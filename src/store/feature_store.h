#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/file_facts.h"
#include "io/json.h"
#include "store/shard_file.h"

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
  /// Rows in one file; the last of a generation has what is left.
  int64_t shard_rows = 8192;
  FeatureType type = FeatureType::kFloat32;
  std::vector<TapShape> taps;
  /// Names of IndexRow::slices.
  std::vector<std::string> slice_names;
  /// Whether a picture may have several rows.
  bool has_views = false;
};

/// One line of index.csv.
struct IndexRow {
  std::string image_path;
  /// The label's name, "" without.
  std::string label;
  /// "train", "val", "test" or "".
  std::string split;
  std::vector<std::string> slices;
  /// 0: the picture as it is; from 1 on: one of its augmented views.
  int64_t view = 0;
  /// The writing that added the row: 0 where the store was made, from 1 on where it was added to.
  int64_t generation = 0;
  /// The generation that read the picture anew, since its file changed or rows of it were missing; -1: the row holds.
  int64_t superseded = -1;
};

/// One line of files.csv: a picture's file when it was read.
struct PictureFile {
  std::string image_path;
  int64_t generation = 0;
  /// Its first row; -1: it could not be read and has none.
  int64_t row = -1;
  io::FileFacts facts;
};

/// How a writer meets what its folder holds. In a folder that is free (require_free_folder) all begin a store.
enum class StoreMode {
  /// It must be free.
  kNew,
  /// Goes on with a writing that was cut off, behind its last whole shard.
  kResume,
  /// Begins a generation behind a finished store, or behind the whole shards of one that was cut off.
  kAppend,
};

/// Writes a store batch by batch. Each shard appears when it is full, and with it unfinished.json, from which a later
/// writer goes on; index.csv, files.csv and skipped.csv come at the end, store.json last. A folder without store.json
/// is not a store; one that is added to stays what it was until the end. Throws SystemError when a write fails. Not
/// thread-safe.
class FeatureStoreWriter {
 public:
  /// Makes the folder. Throws UsageError for what `mode` cannot go on with, no taps, two taps of one name, a tap whose
  /// name cannot be part of a file's name, a slice named twice or like a column of the index, and sizes below 1;
  /// DataError for a store that is damaged, has other taps, or was begun with another `computed` (naming what differs):
  /// a JSON object of all that decides what a row holds.
  explicit FeatureStoreWriter(const FeatureStoreOptions& options, const std::string& computed = "{}",
                              StoreMode mode = StoreMode::kNew);
  /// Without finish(): where not one shard is whole, the folder is left as it was found.
  ~FeatureStoreWriter();
  FeatureStoreWriter(const FeatureStoreWriter&) = delete;
  FeatureStoreWriter& operator=(const FeatureStoreWriter&) = delete;

  /// To be called before the first row: a JSON object of what this generation will hold, row by row. Throws DataError
  /// where a writing is resumed that had another plan.
  void set_plan(const std::string& plan);
  /// Adds `rows`; outputs[t] is [rows, taps[t].row_shape…] on the CPU, of any floating type, and is rounded to the
  /// store's. `facts` are those of each row's picture. Heeds of `rows` all but generation and superseded. Throws
  /// ModelError for a value that was finite and is beyond float16, naming the picture.
  void append(const std::vector<IndexRow>& rows, const std::vector<io::FileFacts>& facts,
              const std::vector<at::Tensor>& outputs);
  /// Adds a picture that has no row to skipped.csv; once, however often it is skipped in succession.
  void skip(const std::string& image_path, const std::string& reason, const io::FileFacts& facts);
  /// Rows of the whole store so far.
  int64_t rows() const;
  int64_t generation() const;
  /// Rows and skips of this generation so far, those before it was resumed included: with what the caller goes on.
  int64_t done() const;

  /// The lines of files.csv so far, those of earlier generations first. A picture in the middle of whose views an
  /// earlier writing was cut off is not among them.
  std::vector<PictureFile> files();

  /// Labels, splits and slices of rows from earlier generations, by image_path; to be called before finish().
  void relabel(const std::vector<IndexRow>& current);

  /// Ends the store. The members of the object `meta` (say `data`, with its digest) stand in store.json after those of
  /// the writer, whose names they must not take.
  void finish(const io::Json& meta);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// `computed` of what `folder` holds, finished or not; none where it holds no store. Throws DataError where that is
/// damaged.
std::optional<std::string> recorded_computed(const std::string& folder);

/// Takes away what a kill at the very end of a writing left in a finished store: unfinished tables, and shards numbered
/// behind the last that store.json names. Throws as FeatureStoreReader.
void remove_leftovers(const std::string& folder);

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
  FeatureType type() const;
  /// How many writings there were, the first included.
  int64_t generations() const;
  const std::vector<TapShape>& taps() const;
  const std::vector<std::string>& slice_names() const;
  const std::vector<IndexRow>& index() const;
  /// The lines of files.csv. Throws DataError where they are damaged.
  std::vector<PictureFile> files() const;
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
