#include "store/feature_start.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "store/feature_files.h"
#include "store/feature_index.h"
#include "store/feature_tables.h"
#include "store/json_fields.h"
#include "store/run_folder.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

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

}  // namespace

void require_same_object(const std::string& folder, const std::string& before, const std::string& now,
                         const std::string& advice) {
  const io::Json a = io::parse_json(before, folder), b = io::parse_json(now, folder);
  const auto shown = [](const io::Json& object, const std::string& key) {
    return object.contains(key) ? io::json_line(object.at(key)) : "none";
  };
  const auto shortened = [](const std::string& value) {
    constexpr size_t kMost = 80;
    return value.size() <= kMost ? value : value.substr(0, kMost) + "…";
  };
  std::set<std::string> keys;
  for (const io::Json* object : {&a, &b}) {
    for (const auto& item : object->items()) keys.insert(item.key());
  }
  std::vector<std::string> different;
  for (const std::string& key : keys) {
    if (shown(a, key) != shown(b, key))
      different.push_back(text::cat(key, " (", shortened(shown(a, key)), ", now ", shortened(shown(b, key)), ")"));
  }
  if (!different.empty()) throw DataError(folder + ": was begun with another " + text::join(different, ", ") + advice);
}

std::optional<Unfinished> begun_writing(const FeatureStoreOptions& options, const std::string& computed,
                                        StoreMode mode) {
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
  require_same_object(folder, state->computed, computed, "");
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

void remove_leftovers(const std::string& folder) {
  const std::string file = folder + "/" + kStoreFile;
  const io::Json store = io::read_json(file);
  const JsonFields fields(store, file);
  const FeatureType type = feature_type_from_text(fields.word("dtype"));
  const io::Json& taps = fields.list("taps");
  for (const io::Json& json : taps) {
    const TapRecord tap = tap_from_json(json, folder);
    const bool is_only_tap = taps.size() == 1;
    const auto next = [&](size_t further) {
      const auto number = static_cast<int64_t>(tap.shards.size() + further);
      return folder + "/" + shard_name(tap.shape.tap, is_only_tap, number, type);
    };
    std::error_code unknown;
    for (size_t i = 0; fs::remove(next(i), unknown); ++i) {
    }
  }
  remove_unfinished(folder);
}

}  // namespace engraft::store
