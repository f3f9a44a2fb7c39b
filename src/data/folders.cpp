#include "data/folders.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "data/duplicates.h"
#include "data/labels.h"
#include "data/walk.h"

namespace engraft::data {

namespace {

using Names = std::vector<std::string>;

constexpr const char* kExpected =
    "expected train/ with val/, validation/, valid/ or test/, or class folders, or a manifest (.csv, .tsv)";

bool is_split_name(const std::string& name) {
  const Names known = {"train", "val", "validation", "valid", "test"};
  return std::find(known.begin(), known.end(), text::lower(name)) != known.end();
}

/// The folder called `name`, in any letter case; the exact name wins.
std::optional<std::string> find_folder(const Names& folders, const std::string& name) {
  if (std::find(folders.begin(), folders.end(), name) != folders.end()) return name;
  for (const std::string& folder : folders) {
    if (text::lower(folder) == name) return folder;
  }
  return std::nullopt;
}

int64_t count(size_t n) { return static_cast<int64_t>(n); }

/// Builds one listing of one folder.
class FolderListing {
 public:
  FolderListing(const std::string& root, const ListingOptions& options)
      : root_(root), options_(options), walker_(root), top_(walker_.level("")) {
    listing_.root = root;
  }

  Listing take() {
    if (has_splits()) {
      listing_.kind = "folders";
      list_splits();
    } else if (!top_.folders.empty()) {
      listing_.kind = "single-root";
      list_single_root();
    } else {
      listing_.kind = "flat";
      list_flat();
    }
    std::sort(listing_.samples.begin(), listing_.samples.end(),
              [](const Sample& a, const Sample& b) { return a.image_path < b.image_path; });
    if (listing_.samples.empty()) throw DataError(no_pictures());
    if (hash_) split_by_hash(listing_, options_);
    if (listing_.kind != "flat") resolve_labels(listing_, options_, root_, [this](size_t i) { return place_of(i); });
    if (listing_.kind != "flat") {
      find_duplicates(listing_, [this](size_t i, size_t j) {
        return listing_.samples[i].image_path + " and " + listing_.samples[j].image_path;
      });
    }
    const Names left_out = walker_.notes();
    listing_.notes.insert(listing_.notes.end(), left_out.begin(), left_out.end());
    return std::move(listing_);
  }

 private:
  bool has_splits() {
    const bool all_are_splits = std::all_of(top_.folders.begin(), top_.folders.end(), is_split_name);
    const std::optional<std::string> train = find_folder(top_.folders, "train");
    if (!train) {
      // Without train/, class folders may be called 'valid' or 'test' as well as anything else.
      const auto is_class = [&](const std::string& name) {
        return std::find(options_.classes.begin(), options_.classes.end(), name) != options_.classes.end();
      };
      if (top_.folders.empty() || !all_are_splits || std::all_of(top_.folders.begin(), top_.folders.end(), is_class)) {
        return false;
      }
      if (options_.labels_required && options_.classes.empty()) {
        throw DataError(root_ + ": no train/ beside " + name_some(top_.folders) + "; " + kExpected);
      }
      return true;
    }
    if (all_are_splits || !walker_.level(*train).folders.empty()) return true;
    // Pictures straight in train/, among folders that are no splits: trains beside buses and cars.
    return std::any_of(top_.folders.begin(), top_.folders.end(),
                       [&](const std::string& name) { return name != *train && is_split_name(name); });
  }

  void list_splits() {
    const std::optional<std::string> train = find_folder(top_.folders, "train");
    if (train) add_split(*train, "train");
    std::optional<std::string> val;
    for (const char* name : {"val", "validation", "valid"}) {
      const std::optional<std::string> found = find_folder(top_.folders, name);
      if (found && val) {
        listing_.notes.push_back(*found + "/ is not read: " + *val + "/ is the validation split");
        used_.insert(*found);
      } else if (found) {
        val = found;
        add_split(*found, "val");
      }
    }
    const std::optional<std::string> test = find_folder(top_.folders, "test");
    if (test) {
      const bool has_classes = !walker_.level(*test).folders.empty();
      const bool serves_as_validation = !val && train && has_classes;
      add_split(*test, serves_as_validation ? "val" : "test");
      if (serves_as_validation) {
        val = test;
        listing_.test_is_validation = true;
        listing_.notes.push_back(*test + "/ serves as validation: there is no val/, validation/ or valid/");
      }
    }
    if (train && !val) hash_training_split(*train);
    Names others;
    std::copy_if(top_.folders.begin(), top_.folders.end(), std::back_inserter(others),
                 [this](const std::string& name) { return used_.count(name) == 0; });
    if (!others.empty()) listing_.notes.push_back("folders beside the splits are not read: " + name_some(others));
    if (!top_.pictures.empty()) {
      listing_.notes.push_back(text::count_of(count(top_.pictures.size()), "picture") +
                               " beside the splits left out; first: " + least(top_.pictures));
    }
  }

  void hash_training_split(const std::string& train) {
    for (Sample& sample : listing_.samples) {
      if (sample.split == "train") sample.split.clear();
    }
    listing_.notes.push_back("no validation folder beside " + train + "/: a part of it is split off");
    hash_ = true;
  }

  /// Adds the pictures of the folder `name`, one sub-folder a class.
  void add_split(const std::string& name, const std::string& split) {
    used_.insert(name);
    const FolderContents tree = walker_.tree(name);
    if (tree.folders.empty() && !tree.pictures.empty() && options_.labels_required) {
      if (split == "test") {
        listing_.notes.push_back(text::cat(name, "/ has no class folders: its ",
                                           text::count_of(count(tree.pictures.size()), "picture"), " left out"));
        return;
      }
      throw DataError(text::cat(root_, "/", name, ": ", text::count_of(count(tree.pictures.size()), "picture"),
                                " but no class folders; ", kExpected));
    }
    add_pictures(tree, name, split);
  }

  void list_single_root() {
    add_pictures(walker_.tree(""), "", "");
    note_lookalikes();
    hash_ = true;
  }

  void list_flat() {
    for (const std::string& picture : walker_.tree("").pictures) add_sample(picture, "", "");
    if (!top_.pictures.empty() && options_.labels_required) {
      throw DataError(text::cat(root_, ": ", text::count_of(count(top_.pictures.size()), "picture"),
                                " without labels; ", kExpected));
    }
  }

  /// Adds `tree` of the folder `above`: the first folder below it is the class.
  void add_pictures(const FolderContents& tree, const std::string& above, const std::string& split) {
    const size_t prefix = above.empty() ? 0 : above.size() + 1;
    std::set<std::string> filled;
    Names loose;
    for (const std::string& picture : tree.pictures) {
      const size_t slash = picture.find('/', prefix);
      const std::string label = slash == std::string::npos ? "" : picture.substr(prefix, slash - prefix);
      if (label.empty() && options_.labels_required) {
        loose.push_back(picture);
        continue;
      }
      filled.insert(label);
      add_sample(picture, label, split);
    }
    if (!loose.empty()) {
      listing_.notes.push_back(text::count_of(count(loose.size()), "picture") +
                               " in no class folder left out; first: " + least(loose));
    }
    const bool gives_classes = (split == "train" || split.empty()) && options_.classes.empty();
    for (const std::string& folder : tree.folders) {
      if (filled.count(folder) > 0) continue;
      const std::string path = path_in(above, folder);
      if (gives_classes && options_.labels_required && !filled.empty()) {
        throw DataError(root_ + "/" + path + ": class folder without a picture; remove it or fill it");
      }
      listing_.notes.push_back(path + "/ holds no picture");
    }
  }

  void add_sample(const std::string& picture, const std::string& label, const std::string& split) {
    Sample sample;
    sample.image_path = picture;
    sample.file = root_ + "/" + picture;
    sample.label_name = label;
    sample.split = split;
    listing_.samples.push_back(std::move(sample));
  }

  /// Splits under other names would be learned as classes.
  void note_lookalikes() {
    for (const std::string& folder : top_.folders) {
      const std::string name = text::lower(folder);
      const bool is_split_like = name == "training" || name == "testing" || text::ends_with(name, "_train") ||
                                 text::ends_with(name, "_test") || text::ends_with(name, "_val");
      if (is_split_like) {
        listing_.notes.push_back(
            "'" + folder + "' is taken as a class; a split must be called train, val, validation, " + "valid or test");
      }
    }
  }

  static std::string least(const Names& names) { return *std::min_element(names.begin(), names.end()); }

  /// The class folder of sample i.
  std::string place_of(size_t i) const {
    const Sample& sample = listing_.samples[i];
    const size_t class_begin = listing_.kind == "folders" ? sample.image_path.find('/') + 1 : 0;
    return root_ + "/" + sample.image_path.substr(0, class_begin + sample.label_name.size());
  }

  std::string no_pictures() const {
    const Names notes = walker_.notes();
    return root_ + ": no pictures" + (notes.empty() ? "" : "; " + notes.front());
  }

  const std::string& root_;
  const ListingOptions& options_;
  Walker walker_;
  FolderContents top_;
  Listing listing_;
  std::set<std::string> used_;  // folders of the top level that were read, or spoken of
  bool hash_ = false;
};

}  // namespace

Listing list_folder(const std::string& root, const ListingOptions& options) {
  return FolderListing(root, options).take();
}

}  // namespace engraft::data
