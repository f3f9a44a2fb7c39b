#include "data/labels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "io/digest.h"

namespace engraft::data {

namespace {

int64_t count(size_t n) { return static_cast<int64_t>(n); }

/// Names in the labels of the samples that `wanted` takes, sorted as plain bytes.
template <class Wanted>
std::vector<std::string> names_where(const Listing& listing, Target target, const Wanted& wanted) {
  std::set<std::string> names;
  for (const Sample& sample : listing.samples) {
    if (!wanted(sample)) continue;
    for (std::string& name : names_in(sample.label_name, target)) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> labels_of(const Listing& listing, std::string_view split, Target target) {
  return names_where(listing, target, [&](const Sample& sample) { return sample.split == split; });
}

std::vector<std::string> all_labels(const Listing& listing, Target target) {
  return names_where(listing, target, [](const Sample&) { return true; });
}

/// Classes without a picture in a split; none where the split has no pictures at all.
std::vector<std::string> missing_in(const char* split, const Listing& listing, Target target) {
  const std::vector<std::string> there = labels_of(listing, split, target);
  std::vector<std::string> missing;
  if (there.empty()) return missing;
  std::set_difference(listing.classes.begin(), listing.classes.end(), there.begin(), there.end(),
                      std::back_inserter(missing));
  return missing;
}

void note_classes_missing_in(const char* split, Listing& listing, Target target) {
  const std::vector<std::string> missing = missing_in(split, listing, target);
  if (missing.empty()) return;
  listing.notes.push_back(text::cat("no picture in the ", split, " split of ", missing.size(), " of the ",
                                    listing.classes.size(), " classes: ", name_some(missing)));
}

void fix_classes(Listing& listing, const ListingOptions& options, const std::string& source) {
  if (!options.classes.empty()) {
    listing.classes = options.classes;
    return;
  }
  const bool has_train = !rows_of(listing, "train").empty();
  if (options.labels_required && !has_train) throw DataError(source + ": no picture in the training split");
  if (listing.classes.empty()) {
    listing.classes = has_train ? labels_of(listing, "train", options.target) : all_labels(listing, options.target);
  }
  if (!options.labels_required) return;
  if (options.target == Target::kMultiLabel) {
    if (listing.classes.empty()) throw DataError(source + ": no label in the training split, every one is empty");
  } else if (listing.classes.size() < 2) {
    throw DataError(source + ": only one class, '" + text::join(listing.classes, "") + "'; expected two or more");
  }
}

/// What a label that is no class looks like, if it looks like something else.
std::string hint_for(const std::string& name, const Listing& listing, Target target) {
  const auto is_number = [](const std::string& text) { return text::to_double(text).has_value(); };
  if (target == Target::kMultiLabel) return "";
  if (name.find(kLabelSeparator) != std::string::npos) return "; several names in a label take --loss multilabel";
  const bool are_numbers = is_number(name) && std::all_of(listing.classes.begin(), listing.classes.end(), is_number);
  return are_numbers ? "; labels that are measured numbers take --loss regression" : "";
}

/// Sets Sample::label or labels.
void look_up(Listing& listing, const ListingOptions& options, const PlaceOf& place_of) {
  std::map<std::string, int64_t> index;
  for (size_t i = 0; i < listing.classes.size(); ++i) index.emplace(listing.classes[i], count(i));
  std::set<std::string> unknown;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    Sample& sample = listing.samples[i];
    for (const std::string& name : names_in(sample.label_name, options.target)) {
      const auto found = index.find(name);
      if (found == index.end()) {
        if (options.labels_required) {
          throw DataError(text::cat(place_of(i), ": label '", name, "' is not one of the ", listing.classes.size(),
                                    options.classes.empty() ? " classes of the training split" : " known classes",
                                    hint_for(name, listing, options.target)));
        }
        unknown.insert(name);
      } else if (options.target == Target::kMultiLabel) {
        sample.labels.push_back(found->second);
      } else {
        sample.label = found->second;
      }
    }
    std::sort(sample.labels.begin(), sample.labels.end());
  }
  if (unknown.empty()) return;
  listing.notes.push_back(text::count_of(count(unknown.size()), "label") + " not among the " +
                          text::count_of(count(listing.classes.size()), "class", "classes") + ": " +
                          name_some({unknown.begin(), unknown.end()}));
}

/// Class folders give one name each; a name that reads as several could not be told from them.
void require_single_names(const Listing& listing, const PlaceOf& place_of) {
  if (listing.kind == "manifest" || listing.kind == "shards") return;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    if (listing.samples[i].label_name.find(kLabelSeparator) == std::string::npos) continue;
    throw DataError(place_of(i) + ": a '" + std::string(1, kLabelSeparator) +
                    "' in a class folder's name; multi-label data keep it for what stands between names");
  }
}

void resolve_values(Listing& listing, const PlaceOf& place_of) {
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    Sample& sample = listing.samples[i];
    if (sample.label_name.empty()) continue;
    const std::optional<double> value = text::to_double(sample.label_name);
    if (!value)
      throw DataError(place_of(i) + ": label '" + sample.label_name + "' is not a number; regression needs one");
    if (!std::isfinite(*value)) throw DataError(place_of(i) + ": label '" + sample.label_name + "' is not finite");
    if (std::abs(*value) > std::numeric_limits<float>::max()) {
      throw DataError(place_of(i) + ": label '" + sample.label_name + "' is beyond float32; use another unit");
    }
    sample.value = *value;
  }
}

}  // namespace

std::vector<std::string> names_in(const std::string& label, Target target) {
  if (label.empty()) return {};
  if (target != Target::kMultiLabel) return {label};
  std::set<std::string> names;
  for (const std::string& part : text::split(label, kLabelSeparator)) {
    if (std::string name = text::trim(part); !name.empty()) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

std::string name_some(const std::vector<std::string>& names) { return text::abridge(names, 8, ", "); }

bool hashes_to_validation(std::string_view image_path, double val_fraction) {
  uint64_t value = 0;
  for (const char c : io::sha1(image_path).substr(0, 8)) {
    value = value * 16 + static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return static_cast<double>(value) / 4294967296.0 < val_fraction;
}

void split_by_hash(Listing& listing, const ListingOptions& options) {
  listing.is_split_by_hash = true;
  if (options.target != Target::kRegression) listing.classes = labels_of(listing, "", options.target);
  int64_t train = 0;
  int64_t val = 0;
  for (Sample& sample : listing.samples) {
    if (!sample.split.empty()) continue;
    const bool to_validation = hashes_to_validation(sample.image_path, options.val_fraction);
    sample.split = to_validation ? "val" : "train";
    ++(to_validation ? val : train);
  }
  listing.notes.push_back(text::cat("split by the SHA-1 of the path, validation fraction ",
                                    text::shortest(options.val_fraction), ": ", train, " train, ", val, " val"));
}

void settle_splits(Listing& listing, const ListingOptions& options) {
  const auto has = [&](std::string_view split) { return !rows_of(listing, split).empty(); };
  if (has("train") && !has("val") && has("test")) {
    for (Sample& sample : listing.samples) {
      if (sample.split == "test") sample.split = "val";
    }
    listing.notes.push_back("the test rows serve as validation: there are no val rows");
    listing.test_is_validation = true;
  } else if (has("train") && !has("val")) {
    for (Sample& sample : listing.samples) sample.split.clear();
    listing.notes.push_back("no val or test rows: a part of the train rows is split off");
    split_by_hash(listing, options);
  }
}

void resolve_labels(Listing& listing, const ListingOptions& options, const std::string& source,
                    const PlaceOf& place_of) {
  if (options.target == Target::kRegression) {
    resolve_values(listing, place_of);
    return;
  }
  if (options.target == Target::kMultiLabel) require_single_names(listing, place_of);
  fix_classes(listing, options, source);
  look_up(listing, options, place_of);
  if (!options.classes.empty()) return;
  const std::vector<std::string> untrained = missing_in("train", listing, options.target);
  if (!untrained.empty()) {
    listing.warnings.push_back(text::cat("the hash rule leaves no training picture of ", untrained.size(), " of the ",
                                         listing.classes.size(),
                                         " classes, which cannot be learned: ", name_some(untrained)));
  }
  note_classes_missing_in("val", listing, options.target);
  if (options.labels_required && options.val_fraction > 0 && rows_of(listing, "val").empty()) {
    listing.notes.push_back("no picture in the validation split");
  }
}

}  // namespace engraft::data
