#include "data/tar_shards.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <regex>
#include <unordered_map>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "data/labels.h"
#include "data/walk.h"
#include "io/file_facts.h"

namespace engraft::data {

namespace fs = std::filesystem;

namespace {

constexpr size_t kLongestLabel = 4096;    // bytes
constexpr int64_t kMostShards = 1000000;  // of one {…}

bool is_tar(const std::string& path) { return text::ends_with(text::lower(path), ".tar"); }

/// "shards/train-{000..012}.tar" as thirteen paths; none where there are no such braces.
std::vector<std::string> expanded(const std::string& path) {
  static const std::regex braces(R"(^(.*)\{([0-9]{1,9})\.\.([0-9]{1,9})\}(.*)$)");
  std::smatch parts;
  if (!is_tar(path) || !std::regex_match(path, parts, braces)) return {};
  if (parts[4].str().find('/') != std::string::npos)
    throw DataError(path + ": the folder has {…} in it; expected it in the archives' names alone");
  const int64_t first = std::stoll(parts[2]), last = std::stoll(parts[3]);
  if (last < first || last - first >= kMostShards)
    throw DataError(text::cat(path, ": expected {FIRST..LAST} with at most ", kMostShards, " numbers"));
  std::vector<std::string> paths;
  for (int64_t number = first; number <= last; ++number) {
    std::string digits = std::to_string(number);
    const auto width = static_cast<size_t>(parts[2].length());
    if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
    paths.push_back(parts[1].str() + digits + parts[4].str());
  }
  return paths;
}

/// The archives of a folder that holds nothing else to list.
std::vector<std::string> tars_in(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code unknown;
    if (text::starts_with(name, ".")) continue;
    if (entry->is_directory(unknown) || is_picture_name(name)) return {};
    if (is_tar(name)) found.push_back(entry->path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// "train", "val" or "test" where a word of the archive's name says so, else "".
std::string split_in(const std::string& path) {
  std::string name = text::lower(fs::path(path).stem().string());
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '_' || c == '.'; }, '-');
  for (std::string word : text::split(name, '-')) {
    word.resize(word.find_last_not_of("0123456789") + 1);  // val2017
    if (word == "train" || word == "val" || word == "test") return word;
    if (word == "validation" || word == "valid") return "val";
  }
  return "";
}

/// What stands before the first dot of the name, with the folders before it: what the members of one sample share.
std::string key_of(const std::string& member) {
  const size_t name = member.rfind('/') == std::string::npos ? 0 : member.rfind('/') + 1;
  return member.substr(0, member.find('.', name));
}

bool is_hidden(const std::string& member) {
  const size_t slash = member.rfind('/');
  return member[slash == std::string::npos ? 0 : slash + 1] == '.';
}

/// An archive that is read header by header.
class TarReader {
 public:
  explicit TarReader(const std::string& path) : path_(path), archive_(::archive_read_new(), &::archive_read_free) {
    ::archive_read_support_format_tar(archive_.get());
    ::archive_read_support_format_empty(archive_.get());
    if (::archive_read_open_filename(archive_.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) throw failed();
  }

  /// Goes to the next regular file; false at the end.
  bool next() {
    for (;;) {
      const int outcome = ::archive_read_next_header(archive_.get(), &entry_);
      if (outcome == ARCHIVE_EOF) return false;
      if (outcome != ARCHIVE_OK && outcome != ARCHIVE_WARN) throw failed();
      const bool is_link = ::archive_entry_hardlink(entry_) != nullptr || ::archive_entry_filetype(entry_) == AE_IFLNK;
      if (is_link) ++links_;
      if (!is_link && ::archive_entry_filetype(entry_) == AE_IFREG) return true;
    }
  }
  /// Links to other members that were passed over so far.
  int64_t links() const { return links_; }
  std::string name() const {
    const char* name = ::archive_entry_pathname(entry_);
    std::string_view given = name == nullptr ? "" : name;
    if (text::starts_with(given, "./")) given.remove_prefix(2);
    return std::string(given);
  }
  /// Where its bytes begin in the file: the headers before them have been read, and no more.
  int64_t offset() const { return ::archive_filter_bytes(archive_.get(), 0); }
  int64_t bytes() const { return ::archive_entry_size(entry_); }
  bool is_sparse() const { return ::archive_entry_sparse_count(entry_) > 0; }

  /// Of a short text, without the space around it.
  std::string content() {
    std::string bytes(kLongestLabel, '\0');
    const la_ssize_t got = ::archive_read_data(archive_.get(), bytes.data(), bytes.size());
    if (got < 0) throw failed();
    bytes.resize(static_cast<size_t>(got));
    return text::trim(bytes);
  }

 private:
  DataError failed() const {
    const char* reason = ::archive_error_string(archive_.get());
    return DataError(path_ + ": cannot be read as a tar archive: " + (reason == nullptr ? "no reason given" : reason));
  }

  std::string path_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  archive_entry* entry_ = nullptr;
  int64_t links_ = 0;
};

/// What is left out of a listing.
struct LeftOut {
  int64_t others = 0, links = 0, unlabelled_test = 0;
};

/// Adds the pictures of one archive. Of several members of one name, as appending to an archive leaves them, the last
/// counts, in the place of the first.
void add_shard(const std::string& path, Target target, Listing& listing, LeftOut& left_out) {
  const io::FileFacts archive = io::look_at_file(path);
  TarReader reader(path);
  const size_t first = listing.samples.size();
  const std::string shard = fs::path(path).filename().string(), split = split_in(path);
  std::unordered_map<std::string, std::string> labels;  // by key
  std::unordered_map<std::string, size_t> places;       // by member
  std::vector<std::string> others;
  while (reader.next()) {
    throw_if_stopped("listing the pictures");
    const std::string member = reader.name();
    if (member.empty() || is_hidden(member)) continue;
    if (is_picture_name(member) && !reader.is_sparse()) {
      Sample sample;
      sample.image_path = shard + "/" + member;
      sample.file = path;
      sample.offset = reader.offset();
      sample.bytes = reader.bytes();
      sample.archive_bytes = archive.bytes;
      sample.archive_modified_ns = archive.modified_ns;
      sample.split = split;
      const auto [place, is_new] = places.emplace(member, listing.samples.size());
      if (is_new) {
        listing.samples.push_back(std::move(sample));
      } else {
        listing.samples[place->second] = std::move(sample);
      }
    } else if (text::ends_with(member, ".cls")) {
      labels[key_of(member)] = reader.content();
    } else {
      others.push_back(key_of(member));
    }
  }
  std::unordered_map<std::string, bool> keys;
  for (size_t i = first; i < listing.samples.size(); ++i) {
    Sample& sample = listing.samples[i];
    const std::string key = key_of(sample.image_path.substr(shard.size() + 1));
    keys[key] = true;
    const auto label = labels.find(key);
    if (label == labels.end()) continue;
    sample.label_name = text::join(names_in(label->second, target), std::string(1, kLabelSeparator));
  }
  left_out.links += reader.links();
  left_out.others +=
      std::count_if(others.begin(), others.end(), [&](const std::string& key) { return keys.count(key) == 0; });
}

void note(Listing& listing, int64_t count, const char* what, const char* why) {
  if (count > 0) listing.notes.push_back(text::count_of(count, what) + why + " left out");
}

/// As manifests have it: what is only tested need not be labelled.
int64_t drop_unlabelled_tests(Listing& listing) {
  const size_t before = listing.samples.size();
  const auto is_dropped = [](const Sample& sample) { return sample.split == "test" && sample.label_name.empty(); };
  listing.samples.erase(std::remove_if(listing.samples.begin(), listing.samples.end(), is_dropped),
                        listing.samples.end());
  return static_cast<int64_t>(before - listing.samples.size());
}

/// Throws where a label or split is missing that training needs.
void check_training(const Listing& listing, bool has_splits, Target target) {
  for (const Sample& sample : listing.samples) {
    if (sample.label_name.empty() && target != Target::kMultiLabel)
      throw DataError(sample.image_path + ": no label; expected a member " + key_of(sample.image_path) +
                      ".cls beside it that holds one");
    if (sample.split.empty() && has_splits)
      throw DataError(sample.file + ": the name has no split; expected train, val or test in it, as in other archives");
  }
}

}  // namespace

std::vector<std::string> tar_shards_at(const std::string& path) {
  if (std::vector<std::string> shards = expanded(path); !shards.empty()) return shards;
  std::error_code unknown;
  if (fs::is_directory(path, unknown)) return tars_in(path);
  return is_tar(path) && fs::exists(path, unknown) ? std::vector<std::string>{path} : std::vector<std::string>{};
}

Listing list_tars(const std::vector<std::string>& shards, const ListingOptions& options) {
  Listing listing;
  listing.root = fs::path(shards.front()).parent_path().string();
  if (listing.root.empty()) listing.root = ".";
  listing.kind = "shards";
  LeftOut left_out;
  for (const std::string& shard : shards) add_shard(shard, options.target, listing, left_out);
  const std::string source = shards.size() == 1
                                 ? shards.front()
                                 : text::cat(shards.front(), " to ", fs::path(shards.back()).filename().string());
  if (listing.samples.empty()) throw DataError(source + ": no pictures in the archive");
  const bool needs_labels = options.labels_required && options.target != Target::kMultiLabel;
  if (needs_labels) left_out.unlabelled_test = drop_unlabelled_tests(listing);
  note(listing, left_out.others, "file", " of the archives without a picture of the same key");
  note(listing, left_out.links, "link", " in the archives");
  note(listing, left_out.unlabelled_test, "test picture", " without a label");
  const auto has = [&](const auto& what) { return std::any_of(listing.samples.begin(), listing.samples.end(), what); };
  const bool has_labels = has([](const Sample& sample) { return !sample.label_name.empty(); });
  const bool has_splits = has([](const Sample& sample) { return !sample.split.empty(); });
  if (options.labels_required) check_training(listing, has_splits, options.target);
  if (has_splits) {
    settle_splits(listing, options);
  } else if (has_labels) {
    split_by_hash(listing, options);
  }
  if (has_labels || options.labels_required)
    resolve_labels(listing, options, source, [&](size_t i) { return listing.samples[i].image_path; });
  return listing;
}

}  // namespace engraft::data
