#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/digest.h"
#include "io/npy.h"
#include "store/feature_files.h"
#include "store/feature_store.h"
#include "store/out_folder.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

void check(const FeatureStoreOptions& options) {
  if (options.taps.empty()) throw UsageError("feature store: no tap to store");
  if (options.shard_rows < 1) throw UsageError(text::cat("feature store: shard_rows is ", options.shard_rows));
  std::set<std::string> names;
  for (const TapShape& tap : options.taps) {
    const bool fits = !tap.tap.empty() && tap.tap.find('/') == std::string::npos && tap.tap.size() <= 200;
    if (!fits) throw UsageError("feature store: tap '" + tap.tap + "' cannot be part of a file's name");
    if (!names.insert(tap.tap).second) throw UsageError("feature store: tap '" + tap.tap + "' is given twice");
    for (const int64_t size : tap.row_shape) {
      if (size < 1) throw UsageError("feature store: tap '" + tap.tap + "' gives " + text::shape(tap.row_shape));
    }
  }
  std::set<std::string> columns(kIndexColumns.begin(), kIndexColumns.end());
  for (const std::string& slice : options.slice_names) {
    if (!columns.insert(slice).second) throw UsageError("feature store: column '" + slice + "' would stand twice");
  }
}

/// The shards of one tap, one open at a time.
class TapWriter {
 public:
  TapWriter(const FeatureStoreOptions& options, const TapShape& tap)
      : folder_(options.folder), tap_(tap), is_only_tap_(options.taps.size() == 1), shard_rows_(options.shard_rows) {}

  void append(const float* row) {
    if (!shard_) open();
    shard_->append(row, 1);
    digest_->add(row, static_cast<size_t>(shard_->row_bytes()));
    if (shard_->rows() == shard_rows_) close();
  }

  /// Its object in store.json. An array without rows has one shard all the same, which tells its shape.
  io::Json finish() {
    if (shard_) close();
    if (shards_.empty()) {
      open();
      close();
    }
    io::Json out;
    out["tap"] = tap_.tap;
    out["row_shape"] = tap_.row_shape;
    out["shards"] = shards_;
    return out;
  }

 private:
  void open() {
    const std::string name = shard_name(tap_.tap, is_only_tap_, static_cast<int64_t>(shards_.size()));
    shard_.emplace(folder_ + "/" + name, kShardType, tap_.row_shape);
    digest_.emplace();
    name_ = name;
  }

  void close() {
    shard_->commit();
    io::Json shard;
    shard["file"] = name_;
    shard["rows"] = shard_->rows();
    shard["xxh3_128"] = digest_->hex();
    shards_.push_back(std::move(shard));
    shard_.reset();
  }

  std::string folder_;
  TapShape tap_;
  bool is_only_tap_;
  int64_t shard_rows_;
  std::string name_;
  std::optional<io::NpyWriter> shard_;
  std::optional<io::Xxh128> digest_;
  io::Json shards_ = io::Json::array();
};

}  // namespace

struct FeatureStoreWriter::Impl {
  explicit Impl(const FeatureStoreOptions& given) : options(given), index(options.folder + "/" + kIndexFile) {
    for (const TapShape& tap : options.taps) taps.push_back(std::make_unique<TapWriter>(options, tap));
    std::vector<std::string> header(kIndexColumns.begin(), kIndexColumns.end());
    header.insert(header.end(), options.slice_names.begin(), options.slice_names.end());
    index.write(io::csv_line(header));
  }

  FeatureStoreOptions options;
  std::vector<std::unique_ptr<TapWriter>> taps;
  io::AtomicFile index;
  std::optional<io::AtomicFile> skipped;
  int64_t row_count = 0;
  int64_t skipped_count = 0;
};

FeatureStoreWriter::FeatureStoreWriter(const FeatureStoreOptions& options) {
  check(options);
  require_free_folder(options.folder);
  io::make_folders(options.folder);
  impl_ = std::make_unique<Impl>(options);
}
FeatureStoreWriter::~FeatureStoreWriter() = default;

int64_t FeatureStoreWriter::rows() const { return impl_->row_count; }
int64_t FeatureStoreWriter::skipped() const { return impl_->skipped_count; }

void FeatureStoreWriter::append(const IndexRow& row, const std::vector<const float*>& taps) {
  if (taps.size() != impl_->taps.size()) throw std::invalid_argument("one pointer a tap is wanted");
  if (row.slices.size() != impl_->options.slice_names.size()) throw std::invalid_argument("one slice a name is wanted");
  for (size_t t = 0; t < taps.size(); ++t) impl_->taps[t]->append(taps[t]);
  std::vector<std::string> fields = {std::to_string(impl_->row_count), row.image_path, row.label, row.split};
  fields.insert(fields.end(), row.slices.begin(), row.slices.end());
  impl_->index.write(io::csv_line(fields));
  ++impl_->row_count;
}

void FeatureStoreWriter::skip(const std::string& image_path, const std::string& reason) {
  if (!impl_->skipped) {
    impl_->skipped.emplace(impl_->options.folder + "/" + kSkippedFile);
    impl_->skipped->write(io::csv_line({"image_path", "reason"}));
  }
  impl_->skipped->write(io::csv_line({image_path, reason}));
  ++impl_->skipped_count;
}

void FeatureStoreWriter::finish(const io::Json& meta) {
  io::Json store;
  store["format"] = kFormat;
  store["version"] = kVersion;
  store["rows"] = impl_->row_count;
  store["skipped"] = impl_->skipped_count;
  store["dtype"] = kDtype;
  store["slices"] = impl_->options.slice_names;
  store["taps"] = io::Json::array();
  for (const auto& item : meta.items()) {
    if (store.contains(item.key())) throw std::invalid_argument("meta has the writer's own key " + item.key());
  }
  for (const auto& tap : impl_->taps) store["taps"].push_back(tap->finish());
  for (const auto& item : meta.items()) store[item.key()] = item.value();
  impl_->index.commit();
  if (impl_->skipped) impl_->skipped->commit();
  io::write_json(impl_->options.folder + "/" + kStoreFile, store);
}

}  // namespace engraft::store
