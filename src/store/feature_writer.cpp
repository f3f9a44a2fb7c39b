#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "store/feature_files.h"
#include "store/feature_index.h"
#include "store/feature_tables.h"
#include "store/out_folder.h"
#include "store/run_folder.h"
#include "store/tap_record.h"
#include "store/unfinished.h"

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

/// Throws DataError naming the members in which `before` and `now` differ.
void require_same(const std::string& folder, const std::string& before, const std::string& now,
                  const std::string& advice) {
  const io::Json a = io::parse_json(before, folder), b = io::parse_json(now, folder);
  const auto shown = [](const io::Json& object, const std::string& key) {
    return object.contains(key) ? io::json_line(object.at(key)) : "none";
  };
  std::set<std::string> keys;
  for (const io::Json* object : {&a, &b}) {
    for (const auto& item : object->items()) keys.insert(item.key());
  }
  std::vector<std::string> different;
  for (const std::string& key : keys) {
    if (shown(a, key) != shown(b, key))
      different.push_back(text::cat(key, " (", shown(a, key), ", now ", shown(b, key), ")"));
  }
  if (!different.empty()) throw DataError(folder + ": was begun with another " + text::join(different, ", ") + advice);
}

/// The shards of one tap, one open at a time.
class TapWriter {
 public:
  TapWriter(const FeatureStoreOptions& options, TapRecord record)
      : folder_(options.folder),
        type_(options.type),
        is_only_tap_(options.taps.size() == 1),
        record_(std::move(record)) {}

  const TapRecord& record() const { return record_; }

  void append(const void* data, int64_t rows) {
    if (!shard_) open();
    shard_->append(data, rows);
    digest_->add(data, static_cast<size_t>(rows * shard_->row_bytes()));
  }

  /// Ends the open shard.
  void close() {
    if (!shard_) return;
    shard_->commit();
    record_.shards.push_back({name_, shard_->rows(), digest_->hex()});
    shard_.reset();
  }

  /// An array without rows has one shard all the same, which tells its shape.
  void finish() {
    if (!shard_ && record_.shards.empty()) open();
    close();
  }

 private:
  void open() {
    name_ = shard_name(record_.shape.tap, is_only_tap_, static_cast<int64_t>(record_.shards.size()), type_);
    shard_ = make_shard_writer(folder_ + "/" + name_, type_, record_.shape.row_shape);
    digest_.emplace();
  }

  std::string folder_;
  FeatureType type_;
  bool is_only_tap_;
  TapRecord record_;
  std::string name_;
  std::unique_ptr<ShardWriter> shard_;
  std::optional<io::Xxh128> digest_;
};

/// Throws ModelError for what float16 cannot hold; what the network gave as infinite or no number stays so.
void require_in_range(const at::Tensor& given, const at::Tensor& rounded, const std::vector<IndexRow>& rows) {
  const at::Tensor is_lost = at::isinf(rounded).logical_and(at::isfinite(given));
  if (!is_lost.any().item<bool>()) return;
  const int64_t row = is_lost.flatten(1).any(1).to(at::kByte).argmax().item<int64_t>();
  throw ModelError(text::cat(rows[static_cast<size_t>(row)].image_path, ": gives ",
                             given[row].abs().max().item<double>(),
                             ", beyond float16's 65504; use bfloat16 or float32"));
}

/// Where a generation behind the finished store in `folder` begins.
Unfinished behind_finished(const std::string& folder) {
  const FeatureStoreReader reader(folder);
  Unfinished state;
  state.computed = io::json_line(reader.meta().at("computed"));
  state.generation = reader.generations();
  state.base_rows = state.rows = reader.rows();
  state.base_files = static_cast<int64_t>(reader.files().size());
  for (const io::Json& tap : reader.meta().at("taps")) state.taps.push_back(tap_from_json(tap, folder));
  return state;
}

/// Begins a generation behind what was cut off. The last picture, some of whose views may be missing, is forgotten:
/// read anew, it has all its rows behind those that it has.
void begin_generation(const FeatureStoreOptions& options, Unfinished& state) {
  if (options.has_views && state.files > 0) {
    const std::string last = file_line(all_files(options.folder, state.base_files).back());
    state.files_bytes -= static_cast<int64_t>(last.size());
    --state.files;
  }
  ++state.generation;
  state.done = state.skipped = 0;
  state.plan = "{}";
}

/// What a writer of `mode` goes on from; none where it begins.
std::optional<Unfinished> found_in(const FeatureStoreOptions& options, const std::string& computed, StoreMode mode) {
  const std::string& folder = options.folder;
  if (mode == StoreMode::kNew || !fs::exists(folder)) return std::nullopt;
  std::optional<Unfinished> state = read_unfinished(folder);
  const bool is_cut_off = state.has_value();
  if (!state && fs::exists(folder + "/" + kStoreFile)) {
    if (mode == StoreMode::kResume)
      throw UsageError(folder + ": holds a finished feature store; --append adds to it what is new");
    state = behind_finished(folder);
  }
  if (!state) {
    remove_temporaries(folder, kUnfinishedFile);  // of a writing that was killed before it stood
    return std::nullopt;
  }
  require_same(folder, state->computed, computed, "");
  remove_temporaries(folder);
  if (is_cut_off) check_files(folder, *state, options.type);
  std::vector<std::string> before, now;
  for (const TapRecord& tap : state->taps) before.push_back(tap.shape.tap + " " + text::shape(tap.shape.row_shape));
  for (const TapShape& tap : options.taps) now.push_back(tap.tap + " " + text::shape(tap.row_shape));
  if (before != now)
    throw DataError(text::cat(folder, ": has the taps ", text::join(before, ", "), "; now ", text::join(now, ", ")));
  if (mode == StoreMode::kAppend && is_cut_off) {
    if (state->done > 0) {
      begin_generation(options, *state);
    } else {
      state->plan = "{}";
    }
  }
  return state;
}

}  // namespace

struct FeatureStoreWriter::Impl {
  Impl(const FeatureStoreOptions& given, Unfinished from)
      : options(given),
        state(std::move(from)),
        index(file(kUnfinishedIndexFile), state.index_bytes),
        files(file(kUnfinishedFilesFile), state.files_bytes),
        skipped(file(kUnfinishedSkippedFile), state.skipped_bytes) {
    for (const TapRecord& tap : state.taps) taps.push_back(std::make_unique<TapWriter>(options, tap));
    rows = state.rows;
    if (state.done > 0) last_path = all_files(options.folder, state.base_files).back().image_path;
  }

  std::string file(const std::string& name) const { return options.folder + "/" + name; }

  void add_file(const std::string& image_path, int64_t row, const io::FileFacts& facts) {
    files.write(file_line({image_path, state.generation, row, facts}));
    ++state.files;
    last_path = image_path;
  }

  void add_row(const IndexRow& given, const io::FileFacts& facts) {
    if (last_path != given.image_path) add_file(given.image_path, rows, facts);
    IndexRow row = given;
    row.generation = state.generation;
    row.superseded = -1;
    index.write(index_line(rows, row));
    ++rows;
    ++rows_in_shard;
    ++state.done;
  }

  bool has_shards() const {
    return std::any_of(taps.begin(), taps.end(), [](const auto& tap) { return !tap->record().shards.empty(); });
  }

  /// Ends the shards, and records what there is.
  void close_shards() {
    for (const auto& tap : taps) tap->close();
    state.rows = rows;
    rows_in_shard = 0;
    record();
  }

  void record() {
    state.index_bytes = index.sync();
    state.files_bytes = files.sync();
    state.skipped_bytes = skipped.sync();
    state.taps.clear();
    for (const auto& tap : taps) state.taps.push_back(tap->record());
    write_unfinished(options.folder, state);
  }

  FeatureStoreOptions options;
  Unfinished state;
  GrowingFile index, files, skipped;
  std::vector<std::unique_ptr<TapWriter>> taps;
  int64_t rows = 0;
  int64_t rows_in_shard = 0;
  std::string last_path;
  std::vector<IndexRow> current_labels;
  bool is_over = false;
};

FeatureStoreWriter::FeatureStoreWriter(const FeatureStoreOptions& options, const std::string& computed,
                                       StoreMode mode) {
  check(options);
  std::optional<Unfinished> from = found_in(options, computed, mode);
  if (!from) {
    require_free_folder(options.folder);
    io::make_folders(options.folder);
    from.emplace();
    from->computed = computed;
    for (const TapShape& tap : options.taps) from->taps.push_back({tap, {}});
  }
  write_unfinished(options.folder, *from);  // before the tables: by it a later writer knows the folder
  impl_ = std::make_unique<Impl>(options, std::move(*from));
}

FeatureStoreWriter::~FeatureStoreWriter() {
  if (impl_ == nullptr || impl_->is_over || impl_->has_shards()) return;
  const std::string folder = impl_->options.folder;
  impl_.reset();  // takes away the shards that are not whole
  remove_unfinished(folder);
}

void FeatureStoreWriter::set_plan(const std::string& plan) {
  Unfinished& state = impl_->state;
  if (state.plan != "{}")
    require_same(impl_->options.folder, state.plan, plan, "; --append keeps its whole shards and adds the rest");
  state.plan = io::json_line(io::parse_json(plan, "plan"));
  impl_->record();
}

int64_t FeatureStoreWriter::rows() const { return impl_->rows; }
int64_t FeatureStoreWriter::skipped() const { return impl_->state.skipped; }
int64_t FeatureStoreWriter::generation() const { return impl_->state.generation; }
int64_t FeatureStoreWriter::done() const { return impl_->state.done; }

void FeatureStoreWriter::append(const std::vector<IndexRow>& rows, const std::vector<io::FileFacts>& facts,
                                const std::vector<at::Tensor>& outputs) {
  Impl& impl = *impl_;
  if (outputs.size() != impl.taps.size()) throw std::invalid_argument("one tensor a tap is wanted");
  if (facts.size() != rows.size()) throw std::invalid_argument("the facts of each row are wanted");
  for (const IndexRow& row : rows) {
    if (row.slices.size() != impl.options.slice_names.size()) throw std::invalid_argument("one slice a name is wanted");
  }
  const auto count = static_cast<int64_t>(rows.size());
  std::vector<at::Tensor> ready;
  for (size_t t = 0; t < outputs.size(); ++t) {
    std::vector<int64_t> expected = impl.options.taps[t].row_shape;
    expected.insert(expected.begin(), count);
    if (outputs[t].sizes() != at::IntArrayRef(expected)) throw std::invalid_argument("an output of another shape");
    const at::Tensor given = outputs[t].to(at::kCPU);
    ready.push_back(given.to(scalar_type(impl.options.type)).contiguous());
    if (impl.options.type == FeatureType::kFloat16) require_in_range(given, ready.back(), rows);
  }
  for (int64_t begin = 0; begin < count;) {
    const int64_t more = std::min(count - begin, impl.options.shard_rows - impl.rows_in_shard);
    for (size_t t = 0; t < ready.size(); ++t)
      impl.taps[t]->append(ready[t].narrow(0, begin, more).const_data_ptr(), more);
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(begin + more); ++i)
      impl.add_row(rows[i], facts[i]);
    begin += more;
    if (impl.rows_in_shard == impl.options.shard_rows) impl.close_shards();
  }
}

void FeatureStoreWriter::skip(const std::string& image_path, const std::string& reason, const io::FileFacts& facts) {
  Impl& impl = *impl_;
  ++impl.state.done;
  if (impl.last_path == image_path) return;
  impl.add_file(image_path, -1, facts);
  impl.skipped.write(skipped_line(image_path, reason));
  ++impl.state.skipped;
}

std::vector<PictureFile> FeatureStoreWriter::files() {
  impl_->files.sync();
  return all_files(impl_->options.folder, impl_->state.base_files);
}

void FeatureStoreWriter::relabel(const std::vector<IndexRow>& current) { impl_->current_labels = current; }

void FeatureStoreWriter::finish(const io::Json& meta) {
  Impl& impl = *impl_;
  const auto& options = impl.options;
  for (const auto& tap : impl.taps) tap->finish();
  impl.close_shards();
  const TableCounts counts = write_tables(options.folder, options.slice_names, impl.state, impl.current_labels);
  io::Json store;
  store["format"] = kFormat;
  store["version"] = kVersion;
  store["rows"] = impl.rows;
  store["skipped"] = counts.skipped;
  store["generations"] = impl.state.generation + 1;
  store["superseded"] = counts.superseded;
  store["files"] = counts.files;
  store["dtype"] = to_text(options.type);
  store["slices"] = options.slice_names;
  store["taps"] = io::Json::array();
  for (const auto& tap : impl.taps) store["taps"].push_back(to_json(tap->record()));
  store["computed"] = io::parse_json(impl.state.computed, "computed");
  for (const auto& item : meta.items()) {
    if (store.contains(item.key())) throw std::invalid_argument("meta has the writer's own key " + item.key());
    store[item.key()] = item.value();
  }
  io::write_json(options.folder + "/" + kStoreFile, store);
  remove_leftovers(options.folder);
  impl.is_over = true;
}

void FeatureStoreWriter::abandon() {
  remove_leftovers(impl_->options.folder);
  impl_->is_over = true;
}

void remove_leftovers(const std::string& folder) {
  std::set<std::string> named;
  const io::Json store = io::read_json(folder + "/" + kStoreFile);
  for (const io::Json& tap : store.at("taps")) {
    for (const ShardRecord& shard : tap_from_json(tap, folder).shards) named.insert(shard.file);
  }
  std::error_code error;
  std::vector<fs::path> unnamed;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (is_shard_name(name) && named.count(name) == 0) unnamed.push_back(it->path());
  }
  for (const fs::path& path : unnamed) fs::remove(path, error);
  remove_unfinished(folder);
}

}  // namespace engraft::store
