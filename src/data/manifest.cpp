#include "data/manifest.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "data/duplicates.h"
#include "data/labels.h"
#include "io/atomic_file.h"
#include "io/csv.h"

namespace engraft::data {

namespace fs = std::filesystem;

namespace {

int64_t count(size_t n) { return static_cast<int64_t>(n); }

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string file_of(const std::string& root, const std::string& image_path) {
  if (text::starts_with(image_path, "/")) return image_path;
  return text::ends_with(root, "/") ? root + image_path : root + "/" + image_path;
}

/// Notes pictures that are not there, and throws when none is: then it is the folder that is wrong.
void check_existence(Listing& listing, const std::string& source) {
  int64_t missing = 0;
  std::string first;
  for (const Sample& sample : listing.samples) {
    std::error_code unknown;
    if (fs::exists(sample.file, unknown)) continue;
    if (missing++ == 0) first = sample.file;
  }
  if (missing == 0) return;
  const int64_t all = count(listing.samples.size());
  if (missing == all) {
    throw DataError(text::cat(source, ": none of its ", text::count_of(all, "picture"), " exists; first: ", first,
                              " (paths are relative to ", listing.root, ")"));
  }
  listing.notes.push_back(text::cat(missing, " of ", text::count_of(all, "picture"), " do not exist; first: ", first));
}

/// Which column holds what; -1 where there is none.
struct Columns {
  int64_t image_path = -1;
  int64_t label = -1;
  int64_t split = -1;
  std::vector<int64_t> slices;
};

Columns find_columns(const io::CsvTable& table, const std::string& path, const ListingOptions& options) {
  Columns columns;
  for (size_t i = 0; i < table.header.size(); ++i) {
    const std::string name = text::trim(table.header[i]);
    const int64_t index = count(i);
    if (name == "image_path") {
      columns.image_path = index;
    } else if (name == "label") {
      columns.label = index;
    } else if (name == "split") {
      columns.split = index;
    } else {
      columns.slices.push_back(index);
    }
  }
  const auto missing = [&](const char* name) {
    const bool is_tsv = text::ends_with(text::lower(path), ".tsv");
    const bool is_other = table.header.size() == 1 && table.header[0].find(is_tsv ? ',' : '\t') != std::string::npos;
    return DataError(path + ": no column '" + name + "'; found: " + text::join(table.header, ", ") +
                     (!is_other ? ""
                      : is_tsv  ? " (a .tsv has tabs between its columns; a table with commas is a .csv)"
                                : " (a .csv has commas between its columns; a table with tabs is a .tsv)"));
  };
  if (columns.image_path < 0) throw missing("image_path");
  if (columns.label < 0 && options.labels_required) throw missing("label");
  return columns;
}

/// A cell of the label column as Sample::label_name has it.
std::string label_of(const std::string& field, Target target) {
  return text::join(names_in(text::trim(field), target), std::string(1, kLabelSeparator));
}

/// "train", "val", "test", or nothing for another word.
std::optional<std::string> split_of(const std::string& field) {
  const std::string word = text::lower(text::trim(field));
  if (word == "validation" || word == "valid") return "val";
  if (word == "train" || word == "val" || word == "test" || word.empty()) return word;
  return std::nullopt;
}

}  // namespace

Listing list_manifest(const std::string& path, const ListingOptions& options) {
  const char separator = text::ends_with(text::lower(path), ".tsv") ? '\t' : ',';
  const io::CsvTable table = io::read_csv(path, separator);
  const Columns columns = find_columns(table, path, options);
  const auto field = [&](size_t row, int64_t column) -> std::string {
    return column < 0 ? "" : table.rows[row][static_cast<size_t>(column)];
  };
  bool has_splits = false;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    has_splits = has_splits || !text::trim(field(row, columns.split)).empty();
  }

  Listing listing;
  listing.root = folder_of(path);
  listing.kind = "manifest";
  for (const int64_t slice : columns.slices) {
    listing.slice_names.push_back(text::trim(table.header[static_cast<size_t>(slice)]));
  }
  std::vector<int64_t> lines;  // of each sample
  int64_t unlabelled_test = 0;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const std::string place = text::cat(path, ":", table.lines[row]);
    Sample sample;
    sample.image_path = field(row, columns.image_path);
    if (sample.image_path.empty()) throw DataError(place + ": image_path is empty");
    sample.file = file_of(listing.root, sample.image_path);
    sample.label_name = label_of(field(row, columns.label), options.target);
    const std::optional<std::string> split = split_of(field(row, columns.split));
    if (!split || (has_splits && split->empty() && options.labels_required)) {
      throw DataError(place + ": split '" + field(row, columns.split) +
                      "' is not one of train, val, validation, valid, test");
    }
    sample.split = *split;
    if (sample.label_name.empty() && options.labels_required && options.target != Target::kMultiLabel) {
      if (sample.split != "test") throw DataError(place + ": label is empty");
      ++unlabelled_test;
      continue;
    }
    for (const int64_t slice : columns.slices) sample.slices.push_back(field(row, slice));
    listing.samples.push_back(std::move(sample));
    lines.push_back(table.lines[row]);
  }
  if (listing.samples.empty()) throw DataError(path + ": no pictures; the table has no rows");
  check_existence(listing, path);
  if (unlabelled_test > 0) {
    listing.notes.push_back(text::count_of(unlabelled_test, "test row") + " without a label left out");
  }
  if (has_splits) {
    settle_splits(listing, options);
  } else if (columns.label >= 0) {
    split_by_hash(listing, options);
  }
  resolve_labels(listing, options, path, [&](size_t i) { return text::cat(path, ":", lines[i]); });
  find_duplicates(listing, [&](size_t i, size_t j) {
    return text::cat(listing.samples[i].image_path, " (lines ", lines[i], " and ", lines[j], ")");
  });
  return listing;
}

namespace {

/// The list `bytes`, which `path` names in errors and whose paths are relative to `root`.
Listing list_lines(std::string_view bytes, const std::string& path, const std::string& root,
                   const ListingOptions& options) {
  if (bytes.find('\0') != std::string_view::npos) {
    throw DataError(path + ": is no text; expected a folder, a manifest (.csv, .tsv) or a list of paths");
  }
  if (text::starts_with(bytes, "\xEF\xBB\xBF")) bytes.remove_prefix(3);
  std::vector<std::string> paths;
  for (std::string& line : text::split(bytes, '\n')) {
    if (text::ends_with(line, "\r")) line.pop_back();
    if (!text::trim(line).empty()) paths.push_back(std::move(line));
  }
  if (paths.empty()) throw DataError(path + ": no pictures; the list is empty");
  if (text::starts_with(paths[0], "image_path,") || text::starts_with(paths[0], "image_path\t")) {
    throw DataError(path + ": looks like a manifest; expected its name to end in .csv or .tsv");
  }
  if (options.labels_required) {
    throw DataError(path + ": a list has no labels; expected class folders or a manifest (.csv, .tsv)");
  }
  Listing listing = list_paths(paths, root);
  check_existence(listing, path);
  return listing;
}

}  // namespace

Listing list_file_of_paths(const std::string& path, const ListingOptions& options) {
  return list_lines(io::read_file(path), path, folder_of(path), options);
}

Listing list_standard_input(const ListingOptions& options) {
  const std::string bytes{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  return list_lines(bytes, "standard input", ".", options);
}

Listing list_paths(const std::vector<std::string>& paths, const std::string& root) {
  if (paths.empty()) throw DataError("no pictures: the list of paths is empty");
  Listing listing;
  listing.root = root;
  listing.kind = "list";
  for (const std::string& path : paths) {
    Sample sample;
    sample.image_path = path;
    sample.file = file_of(root, path);
    listing.samples.push_back(std::move(sample));
  }
  return listing;
}

}  // namespace engraft::data
