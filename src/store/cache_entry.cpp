#include "store/cache_entry.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

constexpr const char* kAboutFile = "cache.json";
constexpr const char* kRowsFile = "rows.npy";
constexpr const char* kLockFile = "lock";  // in an entry that is being written; says how many bytes it will take
constexpr const char* kUnfinished = ".tmp-";
constexpr const char* kFormat = "engraft activation cache";
constexpr int64_t kVersion = 1;
constexpr size_t kDigestLength = 32;
constexpr int64_t kPieceBytes = int64_t{16} << 20;

/// The shape of a row as it lies in the file.
std::vector<int64_t> shape_in_file(const RowLayout& layout) {
  if (!layout.channels_last) return layout.sizes;
  return {layout.sizes[1], layout.sizes[2], layout.sizes[0]};
}

/// The rows of an entry's file.
ActivationRows map_rows(const std::string& path, const RowLayout& layout) {
  const auto map = std::make_shared<io::NpyMap>(path);
  std::vector<int64_t> expected = shape_in_file(layout);
  expected.insert(expected.begin(), map->shape().empty() ? 0 : map->shape().front());
  if (map->dtype() != "<f4" || map->shape() != expected) {
    throw DataError(path + ": holds " + map->dtype() + " " + text::shape(map->shape()) + ", expected <f4 " +
                    text::shape(expected));
  }
  // from_blob takes a mutable pointer; the pages are read-only and nothing writes.
  const at::Tensor flat =
      at::from_blob(const_cast<void*>(map->data()), {expected.front(), layout.elements()}, at::kFloat);
  return ActivationRows(layout, flat, map);
}

/// Read rather than mapped: a page that the disk cannot give would end the process.
std::string digest_of_elements(const std::string& path) {
  const io::NpyReader reader(path);
  io::Xxh128 digest;
  std::vector<char> piece(static_cast<size_t>(std::min(kPieceBytes, reader.data_bytes())));
  for (int64_t at = 0; at < reader.data_bytes(); at += kPieceBytes) {
    const int64_t size = std::min(kPieceBytes, reader.data_bytes() - at);
    reader.read(at, size, piece.data());
    digest.add(piece.data(), static_cast<size_t>(size));
  }
  return digest.hex();
}

std::string digest_of_line(const io::Json& about) {
  io::Xxh128 digest;
  digest.add(io::json_line(about));
  return digest.hex();
}

/// Makes a folder beside `entry` that nobody has.
std::string make_unfinished(const std::string& entry) {
  io::make_folders(fs::path(entry).parent_path().string());
  for (int64_t number = 0;; ++number) {
    const std::string folder = text::cat(entry, kUnfinished, ::getpid(), "-", number);
    std::error_code error;
    if (fs::create_directory(folder, error)) return folder;
    if (error) throw SystemError("cannot make folder " + folder + ": " + error.message());
  }
}

}  // namespace

EntryWriter::EntryWriter(std::string entry, const io::Json& key, int64_t bytes)
    : entry_(std::move(entry)), folder_(make_unfinished(entry_)), key_line_(io::json_line(key)) {
  try {
    lock_ = std::make_unique<io::FileLock>(folder_ + "/" + kLockFile);
    lock_->write(std::to_string(bytes));
  } catch (const SystemError&) {
    std::error_code unknown;
    fs::remove_all(folder_, unknown);
    throw;
  }
}

EntryWriter::~EntryWriter() {
  std::error_code unknown;
  file_.reset();
  if (!folder_.empty()) fs::remove_all(folder_, unknown);
}

void EntryWriter::append(const at::Tensor& output) {
  if (!file_) {
    layout_ = layout_of(output);
    file_ = std::make_unique<io::NpyWriter>(folder_ + "/" + kRowsFile, "<f4", shape_in_file(layout_));
  }
  const at::Tensor flat = flat_rows(output, layout_).to(at::kCPU, at::kFloat).contiguous();
  file_->append(flat.const_data_ptr<float>(), flat.size(0));
  digest_.add(flat.const_data_ptr<float>(), flat.nbytes());
}

void EntryWriter::copy_to(RowsWriter& other) const {
  if (!file_) return;
  io::Xxh128 digest;
  const int64_t piece = std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(1, file_->row_bytes()));
  for (int64_t first = 0; first < file_->rows(); first += piece) {
    const at::Tensor flat = at::empty({std::min(piece, file_->rows() - first), layout_.elements()}, at::kFloat);
    file_->read(first, flat.size(0), flat.mutable_data_ptr<float>());
    digest.add(flat.const_data_ptr<float>(), flat.nbytes());
    other.append(as_batch(flat, layout_));
  }
  if (digest.hex() != digest_.hex()) throw SystemError(folder_ + ": other rows than were written");
}

void EntryWriter::write_about(const std::vector<std::pair<int64_t, std::string>>& bad) const {
  io::Json about = {
      {"format", kFormat},       {"version", kVersion},        {"key", io::parse_json(key_line_, folder_)},
      {"rows", file_->rows()},   {"row_shape", layout_.sizes}, {"channels_last", layout_.channels_last},
      {"bad", io::Json::array()}};
  for (const auto& [index, reason] : bad) about["bad"].push_back({{"index", index}, {"reason", reason}});
  about["rows_xxh3_128"] = digest_.hex();
  about["xxh3_128"] = digest_of_line(about);
  io::write_json(folder_ + "/" + kAboutFile, about);
}

CachedRows EntryWriter::finish(std::vector<std::pair<int64_t, std::string>> bad) {
  if (!file_) return {{}, std::move(bad)};
  write_about(bad);  // first: until the rows are committed, copy_to can have them
  file_->commit();
  const ActivationRows rows = map_rows(folder_ + "/" + kRowsFile, layout_);
  put_in_place();
  return {rows, std::move(bad)};
}

/// What stands there already has the same key: another run wrote it meanwhile, or it was of no use. Whoever has it
/// mapped keeps it. A place that cannot be had is no error: this run has its rows mapped.
void EntryWriter::put_in_place() {
  std::error_code error;
  fs::remove_all(entry_, error);
  fs::rename(folder_, entry_, error);
  if (error) return;
  folder_.clear();
  fs::remove(entry_ + "/" + kLockFile, error);
  lock_.reset();
}

std::optional<CachedRows> read_entry(const std::string& entry, const io::Json& key) {
  const std::string about_file = entry + "/" + kAboutFile, rows_file = entry + "/" + kRowsFile;
  const auto damaged = [&](const std::string& what) { return DataError(entry + ": " + what); };
  std::error_code error;
  if (!fs::exists(about_file, error) || !fs::exists(rows_file, error)) return std::nullopt;
  try {
    io::Json about = io::read_json(about_file);
    if (about.at("format") != kFormat || about.at("version") != kVersion || about.at("key") != key ||
        !about.contains("xxh3_128")) {
      return std::nullopt;
    }
    const std::string digest = about.at("xxh3_128").get<std::string>();
    about.erase("xxh3_128");
    if (digest_of_line(about) != digest) throw damaged("cache.json is not as it was written");
    RowLayout layout;
    about.at("row_shape").get_to(layout.sizes);
    about.at("channels_last").get_to(layout.channels_last);
    CachedRows found{map_rows(rows_file, layout), {}};
    if (found.rows.rows() != about.at("rows").get<int64_t>() ||
        digest_of_elements(rows_file) != about.at("rows_xxh3_128").get<std::string>()) {
      throw damaged("rows.npy is not as it was written");
    }
    for (const io::Json& bad : about.at("bad")) {
      found.bad.emplace_back(bad.at("index").get<int64_t>(), bad.at("reason").get<std::string>());
    }
    ::utimensat(AT_FDCWD, about_file.c_str(), nullptr, 0);  // used now
    return found;
  } catch (const SystemError&) {
    return std::nullopt;
  } catch (const DataError& what) {
    if (!fs::exists(about_file, error) || !fs::exists(rows_file, error)) return std::nullopt;  // going away meanwhile
    throw damaged(what.what());
  } catch (const nlohmann::json::exception& what) {
    throw damaged(what.what());
  }
}

namespace {

CacheEntry entry_at(const fs::path& path) {
  std::error_code unknown;
  CacheEntry entry{path, CacheEntry::State::kLeftBehind, {}, 0};
  entry.used = fs::last_write_time(path / kAboutFile, unknown);
  const bool has_about = !unknown;
  if (!has_about) entry.used = fs::last_write_time(path, unknown);
  for (fs::directory_iterator file(path, unknown), end; !unknown && file != end; file.increment(unknown)) {
    std::error_code gone;
    const auto size = fs::file_size(file->path(), gone);
    if (!gone) entry.bytes += static_cast<int64_t>(size);
  }
  const std::string lock = (path / kLockFile).string();
  if (io::FileLock::is_held(lock)) {
    entry.state = CacheEntry::State::kBeingWritten;
    try {
      entry.bytes = std::max(entry.bytes, text::to_int(io::read_file(lock)).value_or(0));
    } catch (const DataError&) {  // finished this moment
    }
  } else if (has_about && path.filename().string().size() == kDigestLength) {
    entry.state = CacheEntry::State::kWhole;
  }
  return entry;
}

bool is_entry_name(const std::string& name) {
  return name.find_first_not_of("0123456789abcdef") >= kDigestLength && name.size() >= kDigestLength &&
         (name.size() == kDigestLength || text::starts_with(name.substr(kDigestLength), kUnfinished));
}

}  // namespace

std::vector<CacheEntry> entries_in(const std::string& folder) {
  std::vector<CacheEntry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;
    if (is_entry_name(it->path().filename().string()) && it->is_directory(unknown)) {
      entries.push_back(entry_at(it->path()));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const CacheEntry& a, const CacheEntry& b) { return a.used < b.used; });
  return entries;
}

}  // namespace engraft::store
