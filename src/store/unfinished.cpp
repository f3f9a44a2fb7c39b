#include "store/unfinished.h"

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
  io::GrowingFile(folder + "/" + kUnfinishedIndexFile, state.index_bytes);
  io::GrowingFile(folder + "/" + kUnfinishedFilesFile, state.files_bytes);
  io::GrowingFile(folder + "/" + kUnfinishedSkippedFile, state.skipped_bytes);
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

}  // namespace engraft::store
