#include "finetune/frozen_part.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "data/digest.h"
#include "graph/surgery.h"
#include "model/preprocessing_source.h"
#include "tensor/device.h"

namespace engraft::finetune {

namespace {

constexpr double kBytesPerGib = 1024.0 * 1024.0 * 1024.0;
constexpr const char* kPictures = "the pictures";

std::string name_of(const std::string& cut) { return cut.empty() ? kPictures : cut; }

}  // namespace

FrozenPart::FrozenPart(Setup& setup, Reporter& reporter)
    : setup_(setup),
      reporter_(reporter),
      disk_(store::cache_folder(setup.options.cache.cache_dir),
            static_cast<int64_t>(setup.options.cache.cache_limit * kBytesPerGib)) {
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
  CachePlaces places(setup_.options.cache.cache, setup_.device, disk_);
  const StagePlan& first = setup_.stages.front();
  if (first.is_on_features() && first.epochs > 0) {
    features_bytes_ = row_count() * setup_.head.options().embedding_dim * static_cast<int64_t>(sizeof(float));
    features_place_ = places.for_features(features_bytes_);
    tell_features();
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
    places_[stage.cut] = places.for_activations(bytes, stage.cut.empty());
    bytes_[stage.cut] = bytes;
    tell_activations(stage.cut, text::shape(row.sizes().slice(1).vec()));
  }
}

void FrozenPart::tell_features() const {
  const std::string size =
      text::cat("features: ", count_text(), ", ", text::bytes(static_cast<double>(features_bytes_)));
  if (features_place_ == Place::kMemory) {
    reporter_.note(size + ", in memory");
  } else if (features_place_ == Place::kDisk) {
    reporter_.note(size + ", in " + disk_.folder());
  } else {
    reporter_.warn(size + ": more than memory and " +
                   (disk_.folder().empty() ? "no disk" : "--cache-limit or the disk") +
                   " allow; the backbone runs in every epoch");
  }
}

void FrozenPart::tell_activations(const std::string& cut, const std::string& shape) const {
  const std::string size = text::cat("cache: ", name_of(cut), " ", shape, ", ", count_text(), ", ",
                                     text::bytes(static_cast<double>(bytes_.at(cut))));
  switch (places_.at(cut)) {
    case Place::kMemory:
      return reporter_.note(size + ", in memory");
    case Place::kDevice:
      return reporter_.note(size + ", in memory of " + setup_.device.str());
    case Place::kDisk:
      return reporter_.note(size + ", in " + disk_.folder());
    case Place::kNowhere:
      break;
  }
  if (setup_.options.cache.cache == "off") return reporter_.note(size + ": off; the trunk runs in every epoch");
  if (cut.empty()) return reporter_.note(size + ": too large for memory; pictures are decoded in every epoch");
  reporter_.warn(size +
                 (disk_.folder().empty() ? ": no place for it on disk (give --cache-dir)"
                                         : ": more than --cache-limit or the disk allow") +
                 "; the trunk runs in every epoch");
}

/// All that decides the bytes of an output's rows.
io::Json FrozenPart::key_of(const Output& output, const StagePlan& stage) {
  if (data_digest_.empty()) data_digest_ = data::data_digest(setup_.listing);
  io::Json key = {{"data", data_digest_},
                  {"preprocessing", model::to_json(setup_.engine_options.preprocessing)},
                  {"engine", engine::engine_name(setup_.engine_options)},
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

FrozenPart::Filled FrozenPart::fill(std::vector<Output>& outputs, const std::string& what) {
  const std::vector<int64_t> items = all_items();
  const int64_t count = row_count();
  Filled filled;
  filled.rows.resize(outputs.size());
  const auto add_bad = [&](const std::vector<std::pair<int64_t, std::string>>& bad) {
    if (!filled.bad.empty()) return;  // the same pictures for every output
    for (const auto& [index, reason] : bad) {
      const int64_t item = items[static_cast<size_t>(index)], row = setup_.views.row_of(item);
      if (!filled.bad.empty() && filled.bad.back().row == row) continue;  // another view of it
      filled.bad.push_back({row, setup_.listing.samples[static_cast<size_t>(row)].image_path, reason, item});
    }
  };

  std::vector<Output> missing;
  std::vector<size_t> place_of_missing;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!outputs[i].key.is_null()) {
      auto found = disk_.find(outputs[i].key);
      if (found && found->rows.rows() + static_cast<int64_t>(found->bad.size()) == count) {
        reporter_.note("cache: " + (outputs[i].is_features ? "features" : name_of(outputs[i].cut)) + " found on disk");
        filled.rows[i] = found->rows;
        add_bad(found->bad);
        continue;
      }
    }
    missing.push_back(outputs[i]);
    place_of_missing.push_back(i);
  }
  if (missing.empty()) return filled;

  std::vector<std::unique_ptr<store::RowsWriter>> writers;
  for (const Output& output : missing) {
    const c10::Device memory = output.place == Place::kDevice ? setup_.device : c10::Device(c10::kCPU);
    writers.push_back(output.place == Place::kDisk ? disk_.begin(output.key, output.bytes)
                                                   : store::make_memory_writer(count, memory));
  }
  const auto engine = engine::make_torch_engine(setup_.body, method_for(missing), setup_.engine_options);
  const auto unread = forward_pass(
      setup_.listing, items, *engine, {setup_.options.compute.loader_threads, what, setup_.views},
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& given) {
        for (size_t i = 0; i < missing.size(); ++i) {
          writers[i]->append(missing[i].is_features ? model::pooled(given[i], setup_.pool).contiguous() : given[i]);
        }
      },
      reporter_);
  std::unordered_map<int64_t, int64_t> index_of;
  for (size_t i = 0; i < items.size(); ++i) index_of[items[i]] = static_cast<int64_t>(i);
  std::vector<std::pair<int64_t, std::string>> bad;
  for (const BadPicture& picture : unread) bad.emplace_back(index_of.at(picture.item), picture.reason);
  add_bad(bad);
  for (size_t i = 0; i < missing.size(); ++i) filled.rows[place_of_missing[i]] = writers[i]->finish(bad).rows;
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
