#include "store/activation_cache.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "io/npy.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

constexpr const char* kAboutFile = "cache.json";
constexpr const char* kRowsFile = "rows.npy";
constexpr const char* kFormat = "engraft activation cache";
constexpr int64_t kVersion = 1;

/// The shape of a row as it lies in the file.
std::vector<int64_t> shape_in_file(const RowLayout& layout) {
  if (!layout.channels_last) return layout.sizes;
  return {layout.sizes[1], layout.sizes[2], layout.sizes[0]};
}

class MemoryWriter : public RowsWriter {
 public:
  MemoryWriter(int64_t capacity, const c10::Device& device) : capacity_(capacity), device_(device) {}

  void append(const at::Tensor& output) override {
    if (!flat_.defined()) {
      layout_ = layout_of(output);
      flat_ = at::empty({capacity_, layout_.elements()}, output.options().device(device_));
    }
    flat_.narrow(0, rows_, output.size(0)).copy_(flat_rows(output, layout_));
    rows_ += output.size(0);
  }

  CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) override {
    if (!flat_.defined()) return {{}, std::move(bad)};
    return {ActivationRows(layout_, flat_.narrow(0, 0, rows_)), std::move(bad)};
  }

 private:
  int64_t capacity_;
  c10::Device device_;
  RowLayout layout_;
  at::Tensor flat_;
  int64_t rows_ = 0;
};

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

class DiskWriter : public RowsWriter {
 public:
  DiskWriter(std::string entry, io::Json key) : entry_(std::move(entry)), key_(std::move(key)) {
    io::make_folders(entry_);
  }

  void append(const at::Tensor& output) override {
    if (!file_) {
      layout_ = layout_of(output);
      file_ = std::make_unique<io::NpyWriter>(entry_ + "/" + kRowsFile, "<f4", shape_in_file(layout_));
    }
    const at::Tensor flat = flat_rows(output, layout_).to(at::kCPU, at::kFloat).contiguous();
    file_->append(flat.const_data_ptr<float>(), flat.size(0));
  }

  CachedRows finish(std::vector<std::pair<int64_t, std::string>> bad) override {
    if (!file_) return {{}, std::move(bad)};
    const int64_t rows = file_->rows();
    file_->commit();
    io::Json about = {{"format", kFormat},
                      {"version", kVersion},
                      {"key", key_},
                      {"rows", rows},
                      {"row_shape", layout_.sizes},
                      {"channels_last", layout_.channels_last},
                      {"bad", io::Json::array()}};
    for (const auto& [index, reason] : bad) about["bad"].push_back({{"index", index}, {"reason", reason}});
    io::write_json(entry_ + "/" + kAboutFile, about);
    return {map_rows(entry_ + "/" + kRowsFile, layout_), std::move(bad)};
  }

 private:
  std::string entry_;
  io::Json key_;
  RowLayout layout_;
  std::unique_ptr<io::NpyWriter> file_;
};

struct Entry {
  fs::path path;
  fs::file_time_type used;
  int64_t bytes = 0;
};

/// All entries of a folder, the longest unused first; unfinished ones too, by the time of their folder.
std::vector<Entry> entries_in(const std::string& folder) {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;
    Entry entry{it->path(), fs::last_write_time(it->path() / kAboutFile, unknown), 0};
    if (unknown) entry.used = fs::last_write_time(it->path(), unknown);
    for (fs::directory_iterator file(it->path(), unknown); !unknown && file != end; file.increment(unknown)) {
      std::error_code gone;
      const auto size = fs::file_size(file->path(), gone);
      if (!gone) entry.bytes += static_cast<int64_t>(size);
    }
    entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  return entries;
}

}  // namespace

std::unique_ptr<RowsWriter> make_memory_writer(int64_t capacity, const c10::Device& device) {
  return std::make_unique<MemoryWriter>(capacity, device);
}

ActivationCache::ActivationCache(std::string folder, int64_t limit_bytes)
    : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

std::string ActivationCache::entry_of(const io::Json& key) const {
  io::Xxh128 digest;
  digest.add(io::json_line(key));
  return folder_ + "/" + digest.hex();
}

std::optional<CachedRows> ActivationCache::find(const io::Json& key) const {
  if (folder_.empty()) return std::nullopt;
  const std::string entry = entry_of(key);
  std::error_code error;
  if (!fs::exists(entry + "/" + kAboutFile, error)) return std::nullopt;
  try {
    const io::Json about = io::read_json(entry + "/" + kAboutFile);
    if (about.at("format") != kFormat || about.at("version") != kVersion || about.at("key") != key) return std::nullopt;
    RowLayout layout;
    about.at("row_shape").get_to(layout.sizes);
    about.at("channels_last").get_to(layout.channels_last);
    CachedRows found{map_rows(entry + "/" + kRowsFile, layout), {}};
    if (found.rows.rows() != about.at("rows").get<int64_t>()) return std::nullopt;
    for (const io::Json& bad : about.at("bad")) {
      found.bad.emplace_back(bad.at("index").get<int64_t>(), bad.at("reason").get<std::string>());
    }
    ::utimensat(AT_FDCWD, (entry + "/" + kAboutFile).c_str(), nullptr, 0);  // used now
    return found;
  } catch (const Error&) {
    return std::nullopt;  // going away under our hands, or not whole: it is computed anew
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

bool ActivationCache::has_room_for(int64_t bytes) const {
  if (folder_.empty() || bytes > limit_bytes_) return false;
  fs::path place = folder_;
  std::error_code error;
  while (!fs::exists(place, error) && place.has_parent_path() && place != place.parent_path()) {
    place = place.parent_path();
  }
  const fs::space_info space = fs::space(place, error);
  return !error && static_cast<uint64_t>(bytes) + (uint64_t{256} << 20) < space.available;
}

std::unique_ptr<RowsWriter> ActivationCache::begin(const io::Json& key, int64_t bytes) const {
  int64_t taken = 0;
  const std::vector<Entry> entries = entries_in(folder_);
  for (const Entry& entry : entries) taken += entry.bytes;
  for (const Entry& entry : entries) {
    if (taken + bytes <= limit_bytes_) break;
    std::error_code unknown;
    fs::remove_all(entry.path, unknown);  // whoever has it mapped keeps it until the end
    taken -= entry.bytes;
  }
  return std::make_unique<DiskWriter>(entry_of(key), key);
}

std::string cache_folder(const std::string& given) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (!given.empty()) return given + "/activations";
  if (const std::string own = variable("ENGRAFT_CACHE"); !own.empty()) return own + "/activations";
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/engraft/activations";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/engraft/activations";
  return "";
}

}  // namespace engraft::store
