#include "store/activation_cache.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "io/file_lock.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kLeftFree = uint64_t{256} << 20;
constexpr const char* kBeginLock = "lock";  // in the folder: one process at a time makes room and begins

constexpr const char* kTooMuch = "more than --cache-limit allows";

int64_t being_written(const std::vector<CacheEntry>& entries) {
  int64_t bytes = 0;
  for (const CacheEntry& entry : entries) {
    if (entry.state == CacheEntry::State::kBeingWritten) bytes += entry.bytes;
  }
  return bytes;
}

/// `folder`, or the nearest above it that exists.
fs::path nearest_existing(const std::string& folder) {
  std::error_code error;
  fs::path place = fs::absolute(folder, error);
  while (!fs::exists(place, error) && place != place.parent_path()) place = place.parent_path();
  return place;
}

}  // namespace

ActivationCache::ActivationCache(std::string folder, int64_t limit_bytes)
    : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

std::string ActivationCache::entry_of(const io::Json& key) const {
  io::Xxh128 digest;
  digest.add(io::json_line(key));
  return folder_ + "/" + digest.hex();
}

ActivationCache::Found ActivationCache::find(const io::Json& key) const {
  if (folder_.empty()) return {};
  const std::string entry = entry_of(key);
  try {
    return {read_entry(entry, key), false};
  } catch (const DataError&) {
    std::error_code unknown;
    fs::remove_all(entry, unknown);
    return {std::nullopt, true};
  }
}

std::string ActivationCache::refusal(int64_t bytes) const {
  if (folder_.empty()) return "no folder for it is known (give --cache-dir)";
  if (bytes > limit_bytes_) return kTooMuch;
  if (bytes > limit_bytes_ - being_written(entries_in(folder_))) {
    return text::cat(kTooMuch, " beside what other runs are writing");
  }
  const fs::path place = nearest_existing(folder_);
  std::error_code error;
  if (!fs::is_directory(place, error)) return "cannot make folder " + folder_ + ": " + std::strerror(ENOTDIR);
  if (::access(place.c_str(), W_OK | X_OK) != 0) return "cannot write " + folder_ + ": " + std::strerror(errno);
  const fs::space_info space = fs::space(place, error);
  if (error) return "cannot write " + folder_ + ": " + error.message();
  if (static_cast<uint64_t>(bytes) + kLeftFree >= space.available) {
    return "more than the disk of " + folder_ + " allows (" + text::bytes(static_cast<double>(space.available)) +
           " free)";
  }
  return "";
}

std::unique_ptr<EntryWriter> ActivationCache::begin(const io::Json& key, int64_t bytes) const {
  io::make_folders(folder_);
  const io::FileLock lock(folder_ + "/" + kBeginLock);
  const std::vector<CacheEntry> entries = entries_in(folder_);
  int64_t taken = 0;
  for (const CacheEntry& entry : entries) {
    std::error_code unknown;
    if (entry.state == CacheEntry::State::kLeftBehind) fs::remove_all(entry.path, unknown);
    if (entry.state != CacheEntry::State::kLeftBehind) taken += entry.bytes;
  }
  for (const CacheEntry& entry : entries) {
    if (taken <= limit_bytes_ - bytes) break;
    if (entry.state != CacheEntry::State::kWhole) continue;
    std::error_code unknown;
    fs::remove_all(entry.path, unknown);  // whoever has it mapped keeps it until the end
    taken -= entry.bytes;
  }
  if (taken > limit_bytes_ - bytes) {
    throw SystemError(folder_ + ": " + kTooMuch + " beside what other runs are writing");
  }
  return std::make_unique<EntryWriter>(entry_of(key), key, bytes);
}

std::string cache_root(const std::string& given) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (!given.empty()) return given;
  if (const std::string own = variable("ENGRAFT_CACHE"); !own.empty()) return own;
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/engraft";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/engraft";
  return "";
}

std::string cache_folder(const std::string& given) {
  const std::string root = cache_root(given);
  return root.empty() ? "" : root + "/activations";
}

int64_t cache_limit_bytes(double gib) {
  const double bytes = gib * 1024.0 * 1024.0 * 1024.0;
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  return bytes < static_cast<double>(kMost) ? static_cast<int64_t>(bytes) : kMost;
}

}  // namespace engraft::store
