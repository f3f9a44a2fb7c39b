#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/growing_file.h"
#include "store/feature_files.h"
#include "store/feature_index.h"
#include "store/feature_start.h"
#include "store/feature_tables.h"
#include "store/out_folder.h"
#include "store/tap_writer.h"
#include "store/unfinished.h"

namespace engraft::store {

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

/// Throws ModelError for what float16 cannot hold; what the network gave as infinite or no number stays so.
void require_in_range(const at::Tensor& given, const at::Tensor& rounded, const std::vector<IndexRow>& rows) {
  const at::Tensor is_lost = at::isinf(rounded).logical_and(at::isfinite(given));
  if (!is_lost.any().item<bool>()) return;
  const int64_t row = is_lost.flatten(1).any(1).to(at::kByte).argmax().item<int64_t>();
  throw ModelError(text::cat(rows[static_cast<size_t>(row)].image_path, ": gives ",
                             given[row].abs().max().item<double>(),
                             ", beyond float16's 65504; use bfloat16 or float32"));
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
  io::GrowingFile index, files, skipped;
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
  std::optional<Unfinished> from = begun_writing(options, computed, mode);
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
    require_same_object(impl_->options.folder, state.plan, plan, "; --append keeps its whole shards and adds the rest");
  state.plan = io::json_line(io::parse_json(plan, "plan"));
  impl_->record();
}

int64_t FeatureStoreWriter::rows() const { return impl_->rows; }
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

}  // namespace engraft::store
