#include "finetune/frozen_part.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "graph/surgery.h"
#include "model/preprocessing_source.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

/// Counts up where an engine of the same name gives other bytes than before: 2 since OpenVINO's bf16 outputs are bf16, and
/// response norms an operator of its own.
constexpr int kMethod = 2;

constexpr const char* kPictures = "the pictures";

std::string name_of(const std::string& cut) { return cut.empty() ? kPictures : cut; }

}  // namespace

std::string FrozenPart::name_of(const Output& output) {
  return output.is_features ? "features" : finetune::name_of(output.cut);
}

FrozenPart::FrozenPart(Setup& setup, Reporter& reporter)
    : setup_(setup),
      reporter_(reporter),
      disk_(store::cache_folder(setup.options.cache.cache_dir),
            store::cache_limit_bytes(setup.options.cache.cache_limit)),
      room_(setup.options.cache.cache, setup.device, disk_) {
  decide_places();
}

int64_t FrozenPart::row_count() const {
  return static_cast<int64_t>(setup_.train_rows.size()) * setup_.views.count +
         static_cast<int64_t>(setup_.val_rows.size());
}

/// "2,000 pictures", with the views where there are several.
std::string FrozenPart::count_text() const {
  const auto pictures = static_cast<int64_t>(setup_.train_rows.size() + setup_.val_rows.size());
  const std::string views = text::count_of(setup_.views.count, "view");
  return text::count_of(pictures, "picture") + (setup_.views.count > 1 ? " (" + views + " of training ones)" : "");
}

std::vector<int64_t> FrozenPart::all_items() const {
  std::vector<int64_t> items = setup_.views.items_of(setup_.train_rows);
  items.insert(items.end(), setup_.val_rows.begin(), setup_.val_rows.end());
  return items;
}

/// True where no stage before `stage` learns anything below its cut: then the trunk is the file's.
bool FrozenPart::fits_first_pass(const StagePlan& stage) const {
  if (stage.cut.empty()) return false;  // decoded pictures: a pass of their own costs no network
  const auto first_learning = [](const StagePlan& one) {
    return one.freeze.first_learning < 0 ? std::numeric_limits<int64_t>::max() : one.freeze.first_learning;
  };
  return std::all_of(setup_.stages.begin(), setup_.stages.end(), [&](const StagePlan& earlier) {
    return earlier.number >= stage.number || earlier.epochs == 0 || first_learning(earlier) >= first_learning(stage);
  });
}

/// Whether the activations at the stage's cut are kept.
bool FrozenPart::is_kept(const StagePlan& stage) const {
  const auto place = places_.find(stage.cut);
  return !stage.is_on_features() && !stage.mix.is_on() && place != places_.end() && place->second != Place::kNowhere;
}

/// Where nothing is frozen below, pictures that every epoch sees in another view are not worth keeping.
bool FrozenPart::is_used_once(const StagePlan& stage) const {
  return stage.cut.empty() && setup_.views.count > 1 &&
         std::all_of(setup_.stages.begin(), setup_.stages.end(), [&](const StagePlan& other) {
           return other.cut != stage.cut || other.epochs <= setup_.views.count;
         });
}

void FrozenPart::decide_places() {
  const StagePlan& first = setup_.stages.front();
  if (first.is_on_features() && first.epochs > 0) {
    features_bytes_ = row_count() * setup_.head.options().embedding_dim * static_cast<int64_t>(sizeof(float));
    const Placement placement = room_.for_features(features_bytes_);
    features_place_ = placement.place;
    tell("features: ", features_bytes_, placement);
  }
  for (const StagePlan& stage : setup_.stages) {
    if (stage.is_on_features() || stage.epochs == 0) continue;
    if (stage.mix.is_on()) reporter_.note(text::cat("cache: none in stage ", stage.number, "; its pictures are mixed"));
    if (stage.mix.is_on() || places_.count(stage.cut) > 0) continue;
    const std::string method = stage.cut.empty() ? "" : graph::split(setup_.body, stage.cut).trunk_method;
    const at::Tensor row = engine::run_grey(setup_.body, method, setup_.engine_options.preprocessing).front();
    const int64_t bytes = row_count() * static_cast<int64_t>(row.nbytes());
    if (setup_.options.cache.cache == "auto" && is_used_once(stage)) {
      places_[stage.cut] = Place::kNowhere;
      reporter_.note("cache: none; every epoch decodes a view of its own");
      continue;
    }
    const Placement placement = room_.for_activations(bytes, stage.cut.empty());
    places_[stage.cut] = placement.place;
    bytes_[stage.cut] = bytes;
    tell(text::cat("cache: ", finetune::name_of(stage.cut), " ", text::shape(row.sizes().slice(1).vec()), ", "), bytes,
         placement);
  }
}

std::string FrozenPart::after_a_stop() const {
  std::vector<Place> all{features_place_};
  for (const auto& [cut, place] : places_) all.push_back(place);
  const auto holds = [&](Place wanted) { return std::find(all.begin(), all.end(), wanted) != all.end(); };
  if (holds(Place::kDisk)) return "; the same command goes on with the rows that the cache has";
  if (holds(Place::kMemory) || holds(Place::kDevice))
    return "; what was computed is lost, with --cache disk it is kept";
  return "";
}

void FrozenPart::tell(const std::string& what, int64_t bytes, const Placement& placement) const {
  const std::string line = text::cat(what, count_text(), ", ", text::bytes(static_cast<double>(bytes)), placement.text);
  placement.is_surprising ? reporter_.warn(line) : reporter_.note(line);
}

/// All that decides the bytes of an output's rows.
io::Json FrozenPart::key_of(const Output& output, const StagePlan& stage) {
  io::Json key = {{"method", kMethod},
                  {"data", digests_of(setup_).contents},
                  {"preprocessing", model::to_json(setup_.engine_options.preprocessing)},
                  {"engine", setup_.engine.name},
                  {"batch", setup_.engine_options.batch_size},
                  {"platform", tensor::platform_text()},
                  {"device", setup_.device.str()},
                  {"backbone_sha256", setup_.backbone.sha256},
                  {"frozen", tensor::digest(model::frozen_tensors(setup_.body, stage.freeze))}};
  if (setup_.views.is_random()) {
    key["views"] = {{"augmentation", image::to_text(setup_.views.augmentation)},
                    {"count", setup_.views.count},
                    {"seed", setup_.views.seed}};
  }
  if (output.is_features) {
    key["tap"] = setup_.tap;
    key["pool"] = model::to_text(setup_.pool);
  } else {
    key["cut"] = output.cut;
  }
  return key;
}

std::string FrozenPart::method_for(const std::vector<Output>& outputs) {
  std::vector<std::string> cuts;
  for (const Output& output : outputs) {
    if (!output.is_features) cuts.push_back(output.cut);
  }
  if (cuts.empty()) return "forward";
  if (outputs.size() > 1) return graph::collect(setup_.body, cuts);
  return cuts.front().empty() ? "" : graph::split(setup_.body, cuts.front()).trunk_method;
}

void FrozenPart::add_bad(const std::vector<std::pair<int64_t, std::string>>& bad, Filled& filled) const {
  if (!filled.bad.empty()) return;  // the same pictures for every output
  const std::vector<int64_t> items = all_items();
  for (const auto& [index, reason] : bad) {
    const int64_t item = items.at(static_cast<size_t>(index)), row = setup_.views.row_of(item);
    if (!filled.bad.empty() && filled.bad.back().row == row) continue;  // another view of it
    filled.bad.push_back({row, setup_.listing.samples[static_cast<size_t>(row)].image_path, reason, item});
  }
}

std::optional<store::CachedRows> FrozenPart::find_on_disk(const Output& output) const {
  if (output.key.is_null()) return std::nullopt;
  auto [found, is_damaged] = disk_.find(output.key);
  if (is_damaged) reporter_.warn("cache: " + name_of(output) + " on disk is damaged; computed anew");
  if (!found || found->rows.rows() + static_cast<int64_t>(found->bad.size()) != row_count()) return std::nullopt;
  reporter_.note("cache: " + name_of(output) + " found on disk");
  return found;
}

FrozenPart::Filled FrozenPart::fill(std::vector<Output>& outputs, const std::string& what) {
  Filled filled;
  filled.rows.resize(outputs.size());
  std::vector<Output> missing;
  std::vector<size_t> place_of_missing;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (const auto found = find_on_disk(outputs[i])) {
      filled.rows[i] = found->rows;
      add_bad(found->bad, filled);
      continue;
    }
    missing.push_back(outputs[i]);
    place_of_missing.push_back(i);
  }
  if (missing.empty()) return filled;

  std::vector<std::unique_ptr<RowsKeeper>> keepers;
  for (const Output& output : missing) {
    keepers.push_back(std::make_unique<RowsKeeper>(
        RowsKeeper::Wanted{name_of(output), output.is_features, output.place, row_count(), output.bytes}, output.key,
        room_, reporter_));
  }
  const std::vector<int64_t> items = all_items();
  const auto engine = engine::make_engine(setup_.body, method_for(missing), setup_.engine_options);
  const auto unread = forward_pass(
      setup_.listing, items, *engine, {setup_.options.compute.loader_threads, what, setup_.views},
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& given) {
        for (size_t i = 0; i < missing.size(); ++i) {
          keepers[i]->append(missing[i].is_features ? model::pooled(given[i], setup_.pool).contiguous() : given[i]);
        }
      },
      reporter_);
  std::unordered_map<int64_t, int64_t> index_of;
  for (size_t i = 0; i < items.size(); ++i) index_of[items[i]] = static_cast<int64_t>(i);
  std::vector<std::pair<int64_t, std::string>> bad;
  for (const BadPicture& picture : unread) bad.emplace_back(index_of.at(picture.item), picture.reason);
  add_bad(bad, filled);
  for (size_t i = 0; i < missing.size(); ++i) {
    filled.rows[place_of_missing[i]] = keepers[i]->finish(bad);
    place_of(missing[i]) = keepers[i]->place();
  }
  return filled;
}

void FrozenPart::first_pass(int64_t first_stage) {
  const std::string& mode = setup_.options.cache.cache;
  std::error_code unknown;
  const bool look_on_disk = mode == "disk" || (mode == "auto" && std::filesystem::exists(disk_.folder(), unknown));
  std::vector<Output> outputs;
  for (const StagePlan& stage : setup_.stages) {
    if (stage.number < first_stage || !is_kept(stage) || !fits_first_pass(stage)) continue;
    const bool is_there =
        std::any_of(outputs.begin(), outputs.end(), [&](const Output& o) { return o.cut == stage.cut; });
    if (is_there) continue;
    Output output{stage.cut, false, places_.at(stage.cut), bytes_.at(stage.cut), {}};
    if (look_on_disk || output.place == Place::kDisk) output.key = key_of(output, stage);
    outputs.push_back(output);
  }
  const StagePlan& first = setup_.stages.front();
  const bool needs_features = has_features() && first_stage == 1;
  if (needs_features) {
    Output output{"", true, features_place_, features_bytes_, {}};
    if (look_on_disk || output.place == Place::kDisk) output.key = key_of(output, first);
    outputs.push_back(output);
  }

  std::vector<int64_t> only_read = setup_.test_rows;
  if (outputs.empty()) {
    for (const auto* rows : {&setup_.train_rows, &setup_.val_rows}) {
      only_read.insert(only_read.end(), rows->begin(), rows->end());
    }
  }
  std::vector<BadPicture> bad;
  if (!only_read.empty()) {
    bad = check_pictures(setup_.listing, only_read, setup_.engine_options,
                         {setup_.options.compute.loader_threads, "reading pictures"}, reporter_);
  }
  Filled filled;
  if (!outputs.empty()) filled = fill(outputs, needs_features ? "computing features" : "computing activations");
  bad.insert(bad.end(), filled.bad.begin(), filled.bad.end());
  drop_bad(setup_, bad, reporter_);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (place_of(outputs[i]) == Place::kNowhere) continue;
    if (filled.rows[i].rows() != row_count()) {
      throw DataError(setup_.options.data.data + ": pictures changed while they were read; start again");
    }
    (outputs[i].is_features ? features_ : kept_[outputs[i].cut]) = filled.rows[i];
  }
}

std::optional<store::ActivationRows> FrozenPart::activations(const StagePlan& stage) {
  if (!is_kept(stage)) return std::nullopt;
  const auto kept = kept_.find(stage.cut);
  if (kept != kept_.end() && fits_first_pass(stage)) return kept->second;
  const Place place = places_.at(stage.cut);
  std::vector<Output> outputs = {{stage.cut, false, place, bytes_.at(stage.cut), {}}};
  if (place == Place::kDisk) outputs.front().key = key_of(outputs.front(), stage);
  Filled filled = fill(outputs, text::cat("stage ", stage.number, ": computing activations"));
  require_readable(filled.bad);
  if (!is_kept(stage)) return std::nullopt;
  kept_[stage.cut] = filled.rows.front();
  return filled.rows.front();
}

void FrozenPart::drop_activations(const StagePlan& stage) {
  const bool is_needed = std::any_of(setup_.stages.begin(), setup_.stages.end(), [&](const StagePlan& later) {
    return later.number > stage.number && later.cut == stage.cut && is_kept(later) && fits_first_pass(later);
  });
  if (!is_needed) kept_.erase(stage.cut);
}

}  // namespace engraft::finetune
