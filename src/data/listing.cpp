#include "data/listing.h"

#include <filesystem>

#include "base/errors.h"
#include "base/text.h"
#include "data/folders.h"
#include "data/manifest.h"
#include "data/tar_shards.h"

namespace engraft::data {

namespace fs = std::filesystem;

namespace {

bool is_archive(const std::string& name) {
  for (const char* ending : {".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".zip", ".7z", ".rar"}) {
    if (text::ends_with(name, ending)) return true;
  }
  return false;
}

}  // namespace

Listing list_data(const std::string& path, const ListingOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1)) {
    throw UsageError("val_fraction " + text::shortest(options.val_fraction) + " is not in [0, 1)");
  }
  if (path == "-") return list_standard_input(options);
  if (const std::vector<std::string> shards = tar_shards_at(path); !shards.empty()) return list_tars(shards, options);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) throw DataError(path + ": no such file or folder");
  if (status.type() == fs::file_type::none) throw DataError("cannot read " + path + ": " + error.message());
  if (fs::is_directory(status)) {
    if (options.target == Target::kRegression) {
      throw DataError(path + ": is a folder; regression needs a manifest (.csv, .tsv) whose label column is a number");
    }
    std::string root = path;
    while (root.size() > 1 && root.back() == '/') root.pop_back();
    return list_folder(root, options);
  }
  const std::string name = text::lower(path);
  if (text::ends_with(name, ".csv") || text::ends_with(name, ".tsv")) return list_manifest(path, options);
  if (is_archive(name)) throw DataError(path + ": is an archive; expected it unpacked into a folder");
  if (is_picture_name(name)) {
    if (options.labels_required) {
      throw DataError(path + ": is one picture; expected a folder or a manifest (.csv, .tsv)");
    }
    const fs::path parent = fs::path(path).parent_path();
    Listing listing = list_paths({fs::path(path).filename().string()}, parent.empty() ? "." : parent.string());
    listing.kind = "flat";
    return listing;
  }
  return list_file_of_paths(path, options);
}

void tell(const Listing& listing, Reporter& reporter) {
  for (const std::string& note : listing.notes) reporter.note(note);
  for (const std::string& warning : listing.warnings) reporter.warn(warning);
}

std::vector<int64_t> rows_of(const Listing& listing, std::string_view split) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    if (listing.samples[i].split == split) rows.push_back(static_cast<int64_t>(i));
  }
  return rows;
}

}  // namespace engraft::data
