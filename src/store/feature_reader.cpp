#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "store/feature_files.h"
#include "store/feature_index.h"
#include "store/json_fields.h"
#include "store/tap_record.h"

namespace engraft::store {

std::string shard_name(const std::string& tap, bool is_only_tap, int64_t number, FeatureType type) {
  std::string digits = std::to_string(number);
  if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
  return (is_only_tap ? "features-" : "features." + tap + "-") + digits + shard_extension(type);
}

struct FeatureStoreReader::Impl {
  const TapRecord& find(const std::string& name) const {
    for (const TapRecord& tap : taps) {
      if (tap.shape.tap == name) return tap;
    }
    std::vector<std::string> names;
    for (const TapRecord& tap : taps) names.push_back(tap.shape.tap);
    throw DataError(folder + ": no tap '" + name + "'; taps: " + text::join(names, ", "));
  }
  std::string file(const char* name) const { return folder + "/" + name; }

  std::string folder;
  io::Json meta;
  FeatureType type = FeatureType::kFloat32;
  int64_t rows = 0, generations = 0, files = 0;
  std::vector<TapRecord> taps;
  std::vector<TapShape> shapes;
  std::vector<std::string> slice_names;
  std::vector<IndexRow> index;
};

FeatureStoreReader::FeatureStoreReader(const std::string& folder) : impl_(std::make_unique<Impl>()) {
  Impl& impl = *impl_;
  impl.folder = folder;
  const std::string path = impl.file(kStoreFile);
  std::string bytes;
  try {
    bytes = io::read_file(path);
  } catch (const DataError& error) {
    throw DataError(folder + ": not a feature store, or one that was not finished (" + error.what() + ")");
  }
  impl.meta = io::parse_json(bytes, path);
  const JsonFields fields(impl.meta, path);
  const std::string format = fields.word("format");
  if (format != kFormat) throw DataError(path + ": format '" + format + "'; expected '" + kFormat + "'");
  const int64_t version = fields.integer("version");
  if (version != kVersion) throw DataError(text::cat(path, ": version ", version, "; expected ", kVersion));
  try {
    impl.type = feature_type_from_text(fields.word("dtype"));
  } catch (const UsageError& error) {
    throw DataError(path + ": " + error.what());
  }
  impl.rows = fields.integer("rows");
  impl.generations = fields.integer("generations");
  impl.files = fields.integer("files");
  impl.slice_names = fields.words("slices");
  for (const char* key : {"skipped", "superseded"}) fields.integer(key);  // for what they throw
  fields.object("computed");
  for (const io::Json& json : fields.list("taps")) {
    const TapRecord tap = tap_from_json(json, path);
    for (const ShardRecord& shard : tap.shards) open_shard(folder, tap, shard, impl.type);
    if (tap.rows() != impl.rows)
      throw DataError(text::cat(path, ": tap '", tap.shape.tap, "' has ", tap.rows(), " rows; expected ", impl.rows));
    impl.taps.push_back(tap);
    impl.shapes.push_back(tap.shape);
  }
  const std::string index = impl.file(kIndexFile);
  impl.index = parse_index(io::read_file(index), index, impl.slice_names, 0, impl.rows, impl.generations);
}
FeatureStoreReader::~FeatureStoreReader() = default;

int64_t FeatureStoreReader::rows() const { return impl_->rows; }
FeatureType FeatureStoreReader::type() const { return impl_->type; }
int64_t FeatureStoreReader::generations() const { return impl_->generations; }
const std::vector<TapShape>& FeatureStoreReader::taps() const { return impl_->shapes; }
const std::vector<std::string>& FeatureStoreReader::slice_names() const { return impl_->slice_names; }
const std::vector<IndexRow>& FeatureStoreReader::index() const { return impl_->index; }
const io::Json& FeatureStoreReader::meta() const { return impl_->meta; }

std::vector<PictureFile> FeatureStoreReader::files() const {
  const std::string path = impl_->file(kFilesFile);
  return parse_files(io::read_file(path), path, impl_->files);
}

void FeatureStoreReader::read(const std::string& tap, int64_t first, int64_t count, float* out) const {
  const TapRecord& found = impl_->find(tap);
  if (first < 0 || count < 0 || first > impl_->rows || count > impl_->rows - first) {
    throw DataError(
        text::cat(impl_->folder, ": rows ", first, " to ", first + count, " wanted of ", impl_->rows, " rows"));
  }
  const int64_t items = found.row_items();
  int64_t first_row = 0;  // of the shard
  for (const ShardRecord& shard : found.shards) {
    const int64_t begin = std::max(first, first_row), end = std::min(first + count, first_row + shard.rows);
    if (begin < end) {
      const at::Tensor rows = at::empty({end - begin, items}, scalar_type(impl_->type));
      const auto row_bytes = static_cast<int64_t>(rows.element_size()) * items;
      open_shard(impl_->folder, found, shard, impl_->type)
          ->read((begin - first_row) * row_bytes, (end - begin) * row_bytes, rows.mutable_data_ptr());
      const at::Tensor values = rows.to(at::kFloat);
      std::copy_n(values.const_data_ptr<float>(), values.numel(), out + (begin - first) * items);
    }
    first_row += shard.rows;
  }
}

std::vector<float> FeatureStoreReader::read_all(const std::string& tap) const {
  std::vector<float> out(static_cast<size_t>(impl_->rows * impl_->find(tap).row_items()));
  read(tap, 0, impl_->rows, out.data());
  return out;
}

void FeatureStoreReader::verify() const {
  std::vector<char> piece(1 << 20);
  for (const TapRecord& tap : impl_->taps) {
    for (const ShardRecord& shard : tap.shards) {
      const auto file = open_shard(impl_->folder, tap, shard, impl_->type);
      const auto item_bytes = static_cast<int64_t>(c10::elementSize(scalar_type(impl_->type)));
      const int64_t bytes = shard.rows * tap.row_items() * item_bytes;
      io::Xxh128 digest;
      for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(piece.size())) {
        const int64_t size = std::min(static_cast<int64_t>(piece.size()), bytes - at);
        file->read(at, size, piece.data());
        digest.add(piece.data(), static_cast<size_t>(size));
      }
      if (digest.hex() != shard.digest)
        throw DataError(text::cat(impl_->folder, "/", shard.file, ": its data have the digest ", digest.hex(), "; ",
                                  kStoreFile, " says ", shard.digest));
    }
  }
}

}  // namespace engraft::store
