#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/digest.h"
#include "io/npy.h"
#include "store/feature_files.h"
#include "store/feature_store.h"

namespace engraft::store {

namespace {

using Json = io::Json;

struct Shard {
  std::string path;
  int64_t first_row = 0;
  int64_t rows = 0;
  std::string digest;
};

struct Tap {
  TapShape shape;
  int64_t row_items = 1;
  std::vector<Shard> shards;
};

/// Takes members out of store.json; what is missing or of another kind is named.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) throw DataError(where_ + ": is no object");
  }

  int64_t integer(const char* key) const {
    const Json& value = member(key);
    if (!value.is_number_integer() || value.get<int64_t>() < 0) fail(key, "a number of 0 or more");
    return value.get<int64_t>();
  }
  std::string word(const char* key) const {
    const Json& value = member(key);
    if (!value.is_string()) fail(key, "a text");
    return value.get<std::string>();
  }
  std::vector<int64_t> sizes(const char* key) const {
    std::vector<int64_t> out;
    for (const Json& value : list(key)) {
      if (!value.is_number_integer() || value.get<int64_t>() < 1) fail(key, "sizes of 1 or more");
      out.push_back(value.get<int64_t>());
    }
    return out;
  }
  std::vector<std::string> words(const char* key) const {
    std::vector<std::string> out;
    for (const Json& value : list(key)) {
      if (!value.is_string()) fail(key, "texts");
      out.push_back(value.get<std::string>());
    }
    return out;
  }
  const Json& list(const char* key) const {
    const Json& value = member(key);
    if (!value.is_array()) fail(key, "a list");
    return value;
  }

 private:
  const Json& member(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw DataError(where_ + ": no '" + key + "'");
    return *found;
  }
  [[noreturn]] void fail(const char* key, const char* expected) const {
    throw DataError(where_ + ": '" + key + "' is " + io::json_line(member(key)) + "; expected " + expected);
  }

  const Json& object_;
  std::string where_;
};

void check_shard(const io::NpyReader& file, const Tap& tap, const Shard& shard) {
  std::vector<int64_t> expected = tap.shape.row_shape;
  expected.insert(expected.begin(), shard.rows);
  if (file.dtype() == kShardType && file.shape() == expected) return;
  throw DataError(text::cat(shard.path, ": holds ", file.dtype(), " ", text::shape(file.shape()), "; ", kStoreFile,
                            " says ", kShardType, " ", text::shape(expected)));
}

Tap read_tap(const Json& object, const std::string& folder, int64_t rows) {
  const std::string where = folder + "/" + kStoreFile;
  const Fields fields(object, where + ": taps");
  Tap tap;
  tap.shape = {fields.word("tap"), fields.sizes("row_shape")};
  for (const int64_t size : tap.shape.row_shape) {
    if (__builtin_mul_overflow(tap.row_items, size, &tap.row_items)) {
      throw DataError(where + ": row_shape " + text::shape(tap.shape.row_shape) + " is too large");
    }
  }
  int64_t first_row = 0;
  for (const Json& entry : fields.list("shards")) {
    const Fields shard_fields(entry, where + ": shards");
    const std::string name = shard_fields.word("file");
    if (name.find('/') != std::string::npos) throw DataError(where + ": shard '" + name + "' is not in the folder");
    Shard shard = {folder + "/" + name, first_row, shard_fields.integer("rows"), shard_fields.word("xxh3_128")};
    check_shard(io::NpyReader(shard.path), tap, shard);
    first_row += shard.rows;
    tap.shards.push_back(std::move(shard));
  }
  if (first_row != rows) {
    throw DataError(text::cat(where, ": tap '", tap.shape.tap, "' has ", first_row, " rows; expected ", rows));
  }
  return tap;
}

std::vector<IndexRow> read_index(const std::string& path, const std::vector<std::string>& slice_names, int64_t rows) {
  io::CsvTable table = io::read_csv(path);
  std::vector<std::string> expected(kIndexColumns.begin(), kIndexColumns.end());
  expected.insert(expected.end(), slice_names.begin(), slice_names.end());
  if (table.header != expected) {
    throw DataError(path + ": columns " + text::join(table.header, ",") + "; expected " + text::join(expected, ","));
  }
  if (static_cast<int64_t>(table.rows.size()) != rows) {
    throw DataError(text::cat(path, ": ", table.rows.size(), " rows; ", kStoreFile, " says ", rows));
  }
  std::vector<IndexRow> index;
  index.reserve(table.rows.size());
  for (size_t i = 0; i < table.rows.size(); ++i) {
    std::vector<std::string>& fields = table.rows[i];
    if (fields[0] != std::to_string(i)) {
      throw DataError(text::cat(path, ":", table.lines[i], ": row '", fields[0], "'; expected ", i));
    }
    IndexRow row = {std::move(fields[1]), std::move(fields[2]), std::move(fields[3]), {}};
    row.slices.assign(std::make_move_iterator(fields.begin() + kIndexColumns.size()),
                      std::make_move_iterator(fields.end()));
    index.push_back(std::move(row));
  }
  return index;
}

}  // namespace

std::string shard_name(const std::string& tap, bool is_only_tap, int64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
  return (is_only_tap ? "features-" : "features." + tap + "-") + digits + ".npy";
}

struct FeatureStoreReader::Impl {
  const Tap& find(const std::string& name) const {
    for (const Tap& tap : taps) {
      if (tap.shape.tap == name) return tap;
    }
    std::vector<std::string> names;
    for (const Tap& tap : taps) names.push_back(tap.shape.tap);
    throw DataError(folder + ": no tap '" + name + "'; taps: " + text::join(names, ", "));
  }

  std::string folder;
  Json meta;
  int64_t rows = 0;
  std::vector<Tap> taps;
  std::vector<TapShape> shapes;
  std::vector<std::string> slice_names;
  std::vector<IndexRow> index;
};

FeatureStoreReader::FeatureStoreReader(const std::string& folder) : impl_(std::make_unique<Impl>()) {
  const std::string path = folder + "/" + kStoreFile;
  std::string bytes;
  try {
    bytes = io::read_file(path);
  } catch (const DataError& error) {
    throw DataError(folder + ": not a feature store, or one that was not finished (" + error.what() + ")");
  }
  impl_->folder = folder;
  impl_->meta = io::parse_json(bytes, path);
  const Fields fields(impl_->meta, path);
  const std::string format = fields.word("format");
  if (format != kFormat) throw DataError(path + ": format '" + format + "'; expected '" + kFormat + "'");
  const int64_t version = fields.integer("version");
  if (version != kVersion) throw DataError(text::cat(path, ": version ", version, "; expected ", kVersion));
  const std::string dtype = fields.word("dtype");
  if (dtype != kDtype) throw DataError(path + ": dtype '" + dtype + "'; expected '" + kDtype + "'");
  impl_->rows = fields.integer("rows");
  impl_->slice_names = fields.words("slices");
  for (const Json& tap : fields.list("taps")) {
    impl_->taps.push_back(read_tap(tap, folder, impl_->rows));
    impl_->shapes.push_back(impl_->taps.back().shape);
  }
  impl_->index = read_index(folder + "/" + kIndexFile, impl_->slice_names, impl_->rows);
}
FeatureStoreReader::~FeatureStoreReader() = default;

int64_t FeatureStoreReader::rows() const { return impl_->rows; }
const std::vector<TapShape>& FeatureStoreReader::taps() const { return impl_->shapes; }
const std::vector<std::string>& FeatureStoreReader::slice_names() const { return impl_->slice_names; }
const std::vector<IndexRow>& FeatureStoreReader::index() const { return impl_->index; }
const io::Json& FeatureStoreReader::meta() const { return impl_->meta; }

void FeatureStoreReader::read(const std::string& tap, int64_t first, int64_t count, float* out) const {
  const Tap& found = impl_->find(tap);
  if (first < 0 || count < 0 || first > impl_->rows || count > impl_->rows - first) {
    throw DataError(
        text::cat(impl_->folder, ": rows ", first, " to ", first + count, " wanted of ", impl_->rows, " rows"));
  }
  const int64_t row_bytes = found.row_items * static_cast<int64_t>(sizeof(float));
  for (const Shard& shard : found.shards) {
    const int64_t begin = std::max(first, shard.first_row);
    const int64_t end = std::min(first + count, shard.first_row + shard.rows);
    if (begin >= end) continue;
    const io::NpyReader file(shard.path);
    check_shard(file, found, shard);
    file.read((begin - shard.first_row) * row_bytes, (end - begin) * row_bytes,
              out + (begin - first) * found.row_items);
  }
}

std::vector<float> FeatureStoreReader::read_all(const std::string& tap) const {
  std::vector<float> out(static_cast<size_t>(impl_->rows * impl_->find(tap).row_items));
  read(tap, 0, impl_->rows, out.data());
  return out;
}

void FeatureStoreReader::verify() const {
  std::vector<char> piece(1 << 20);
  for (const Tap& tap : impl_->taps) {
    for (const Shard& shard : tap.shards) {
      const io::NpyReader file(shard.path);
      check_shard(file, tap, shard);
      io::Xxh128 digest;
      for (int64_t at = 0; at < file.data_bytes(); at += static_cast<int64_t>(piece.size())) {
        const int64_t size = std::min(static_cast<int64_t>(piece.size()), file.data_bytes() - at);
        file.read(at, size, piece.data());
        digest.add(piece.data(), static_cast<size_t>(size));
      }
      if (digest.hex() != shard.digest) {
        throw DataError(shard.path + ": its data have the digest " + digest.hex() + "; " + kStoreFile + " says " +
                        shard.digest);
      }
    }
  }
}

}  // namespace engraft::store
