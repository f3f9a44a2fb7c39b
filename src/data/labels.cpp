#include "data/labels.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "io/digest.h"

namespace engraft::data {

namespace {

int64_t count(size_t n) { return static_cast<int64_t>(n); }

/// Labels of the samples of `split`, sorted as plain bytes.
std::vector<std::string> labels_of(const Listing& listing, std::string_view split) {
  std::set<std::string> names;
  for (const Sample& sample : listing.samples) {
    if (!sample.label_name.empty() && sample.split == split) names.insert(sample.label_name);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> all_labels(const Listing& listing) {
  std::set<std::string> names;
  for (const Sample& sample : listing.samples) {
    if (!sample.label_name.empty()) names.insert(sample.label_name);
  }
  return {names.begin(), names.end()};
}

/// Classes without a picture in a split; none where the split has no pictures at all.
std::vector<std::string> missing_in(const char* split, const Listing& listing) {
  const std::vector<std::string> there = labels_of(listing, split);
  std::vector<std::string> missing;
  if (there.empty()) return missing;
  std::set_difference(listing.classes.begin(), listing.classes.end(), there.begin(), there.end(),
                      std::back_inserter(missing));
  return missing;
}

void note_classes_missing_in(const char* split, Listing& listing) {
  const std::vector<std::string> missing = missing_in(split, listing);
  if (missing.empty()) return;
  listing.notes.push_back(text::cat("no picture in the ", split, " split of ", missing.size(), " of the ",
                                    listing.classes.size(), " classes: ", name_some(missing)));
}

}  // namespace

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
  listing.classes = labels_of(listing, "");
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

void resolve_labels(Listing& listing, const ListingOptions& options, const std::string& source,
                    const PlaceOf& place_of) {
  const bool has_train = !rows_of(listing, "train").empty();
  if (!options.classes.empty()) {
    listing.classes = options.classes;
  } else {
    if (options.labels_required && !has_train) throw DataError(source + ": no picture in the training split");
    if (listing.classes.empty()) listing.classes = has_train ? labels_of(listing, "train") : all_labels(listing);
    if (options.labels_required && listing.classes.size() < 2) {
      throw DataError(source + ": only one class, '" + text::join(listing.classes, "") + "'; expected two or more");
    }
  }
  std::map<std::string, int64_t> index;
  for (size_t i = 0; i < listing.classes.size(); ++i) index.emplace(listing.classes[i], count(i));

  std::set<std::string> unknown;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    Sample& sample = listing.samples[i];
    if (sample.label_name.empty()) continue;
    const auto found = index.find(sample.label_name);
    if (found != index.end()) {
      sample.label = found->second;
    } else if (options.labels_required) {
      throw DataError(text::cat(place_of(i), ": label '", sample.label_name, "' is not one of the ",
                                listing.classes.size(),
                                options.classes.empty() ? " classes of the training split" : " known classes"));
    } else {
      unknown.insert(sample.label_name);
    }
  }
  if (!unknown.empty()) {
    listing.notes.push_back(text::count_of(count(unknown.size()), "label") + " not among the " +
                            text::count_of(count(listing.classes.size()), "class", "classes") + ": " +
                            name_some({unknown.begin(), unknown.end()}));
  }
  if (!options.classes.empty()) return;
  const std::vector<std::string> untrained = missing_in("train", listing);
  if (!untrained.empty()) {
    listing.warnings.push_back(text::cat("the hash rule leaves no training picture of ", untrained.size(), " of the ",
                                         listing.classes.size(),
                                         " classes, which cannot be learned: ", name_some(untrained)));
  }
  note_classes_missing_in("val", listing);
  if (options.labels_required && options.val_fraction > 0 && rows_of(listing, "val").empty()) {
    listing.notes.push_back("no picture in the validation split");
  }
}

}  // namespace engraft::data
