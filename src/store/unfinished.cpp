#include "store/unfinished.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "store/feature_files.h"
#include "store/json_fields.h"

namespace engraft::store {

namespace {

constexpr const char* kUnfinishedFormat = "engraft feature store, unfinished";

}  // namespace

void write_unfinished(const std::string& folder, const Unfinished& state) {
  io::Json json;
  json["format"] = kUnfinishedFormat;
  json["version"] = kVersion;
  json["computed"] = io::parse_json(state.computed, "computed");
  json["plan"] = io::parse_json(state.plan, "plan");
  json["generation"] = state.generation;
  json["base_rows"] = state.base_rows;
  json["base_files"] = state.base_files;
  json["rows"] = state.rows;
  json["done"] = state.done;
  json["files"] = state.files;
  json["skipped"] = state.skipped;
  json["index_bytes"] = state.index_bytes;
  json["files_bytes"] = state.files_bytes;
  json["skipped_bytes"] = state.skipped_bytes;
  json["taps"] = io::Json::array();
  for (const TapRecord& tap : state.taps) json["taps"].push_back(to_json(tap));
  io::write_json(folder + "/" + kUnfinishedFile, json);
}

std::optional<Unfinished> read_unfinished(const std::string& folder) {
  const std::string path = folder + "/" + kUnfinishedFile;
  if (!std::filesystem::exists(path)) return std::nullopt;
  const io::Json json = io::read_json(path);
  const JsonFields fields(json, path);
  if (fields.word("format") != kUnfinishedFormat || fields.integer("version") != kVersion)
    throw DataError(text::cat(path, ": expected format '", kUnfinishedFormat, "', version ", kVersion));
  Unfinished state;
  state.computed = io::json_line(fields.object("computed"));
  state.plan = io::json_line(fields.object("plan"));
  state.generation = fields.integer("generation");
  state.base_rows = fields.integer("base_rows");
  state.base_files = fields.integer("base_files");
  state.rows = fields.integer("rows");
  state.done = fields.integer("done");
  state.files = fields.integer("files");
  state.skipped = fields.integer("skipped");
  state.index_bytes = fields.integer("index_bytes");
  state.files_bytes = fields.integer("files_bytes");
  state.skipped_bytes = fields.integer("skipped_bytes");
  for (const io::Json& tap : fields.list("taps")) state.taps.push_back(tap_from_json(tap, path));
  return state;
}

void check_files(const std::string& folder, const Unfinished& state, FeatureType type) {
  for (const TapRecord& tap : state.taps) {
    if (tap.rows() != state.rows)
      throw DataError(text::cat(folder, "/", kUnfinishedFile, ": tap '", tap.shape.tap, "' has ", tap.rows(),
                                " rows; expected ", state.rows));
    for (const ShardRecord& shard : tap.shards) open_shard(folder, tap, shard, type);
  }
  GrowingFile(folder + "/" + kUnfinishedIndexFile, state.index_bytes);
  GrowingFile(folder + "/" + kUnfinishedFilesFile, state.files_bytes);
  GrowingFile(folder + "/" + kUnfinishedSkippedFile, state.skipped_bytes);
}

std::optional<std::string> recorded_computed(const std::string& folder) {
  for (const char* name : {kUnfinishedFile, kStoreFile}) {
    const std::string path = folder + "/" + name;
    if (!std::filesystem::exists(path)) continue;
    const io::Json json = io::read_json(path);
    return io::json_line(JsonFields(json, path).object("computed"));
  }
  return std::nullopt;
}

void remove_unfinished(const std::string& folder) {
  std::error_code unknown;
  for (const char* name : {kUnfinishedFile, kUnfinishedIndexFile, kUnfinishedFilesFile, kUnfinishedSkippedFile})
    std::filesystem::remove(folder + "/" + name, unknown);
}

GrowingFile::GrowingFile(std::string path, int64_t bytes) : path_(std::move(path)), bytes_(bytes) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) throw SystemError::from_errno("create", path_);
  struct stat info {};
  const bool is_known = ::fstat(descriptor_, &info) == 0;
  if (is_known && info.st_size >= bytes && ::ftruncate(descriptor_, bytes) == 0 &&
      ::lseek(descriptor_, bytes, SEEK_SET) == bytes)
    return;
  ::close(descriptor_);
  if (is_known && info.st_size < bytes)
    throw DataError(text::cat(path_, ": has ", info.st_size, " bytes; ", kUnfinishedFile, " says ", bytes));
  throw SystemError::from_errno("cut", path_);
}

GrowingFile::~GrowingFile() { ::close(descriptor_); }

void GrowingFile::write(const std::string& text) {
  constexpr size_t kMost = 1 << 16;
  waiting_ += text;
  if (waiting_.size() >= kMost) flush();
}

void GrowingFile::flush() {
  size_t written = 0;
  while (written < waiting_.size()) {
    const ssize_t got = ::write(descriptor_, waiting_.data() + written, waiting_.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError::from_errno("write", path_);
    written += static_cast<size_t>(got);
  }
  bytes_ += static_cast<int64_t>(written);
  waiting_.clear();
}

int64_t GrowingFile::sync() {
  flush();
  if (::fsync(descriptor_) != 0) throw SystemError::from_errno("sync", path_);
  return bytes_;
}

}  // namespace engraft::store
