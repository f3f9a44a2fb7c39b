#include "store/tap_writer.h"

#include <utility>

#include "store/feature_files.h"

namespace engraft::store {

TapWriter::TapWriter(const FeatureStoreOptions& options, TapRecord record)
    : folder_(options.folder),
      type_(options.type),
      is_only_tap_(options.taps.size() == 1),
      record_(std::move(record)) {}

void TapWriter::append(const void* data, int64_t rows) {
  if (!shard_) open();
  shard_->append(data, rows);
  digest_->add(data, static_cast<size_t>(rows * shard_->row_bytes()));
}

void TapWriter::close() {
  if (!shard_) return;
  shard_->commit();
  record_.shards.push_back({name_, shard_->rows(), digest_->hex()});
  shard_.reset();
}

void TapWriter::finish() {
  if (!shard_ && record_.shards.empty()) open();
  close();
}

void TapWriter::open() {
  name_ = shard_name(record_.shape.tap, is_only_tap_, static_cast<int64_t>(record_.shards.size()), type_);
  shard_ = make_shard_writer(folder_ + "/" + name_, type_, record_.shape.row_shape);
  digest_.emplace();
}

}  // namespace engraft::store
