#include "data/walk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/errors.h"
#include "base/text.h"
#include "data/listing.h"

namespace engraft::data {

namespace fs = std::filesystem;

namespace {

bool is_passed_over(const std::string& name) {
  const std::string lower = text::lower(name);
  return name[0] == '.' || lower == "__macosx" || lower == "thumbs.db" || lower == "desktop.ini";
}

/// ".jpg" of "a.JPG"; "" without one.
std::string extension_of(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? "" : text::lower(name.substr(dot));
}

}  // namespace

bool is_picture_name(std::string_view name) {
  static const std::vector<std::string> kExtensions = {
      ".apng", ".bmp", ".dib", ".exr", ".gif", ".hdr", ".j2k", ".jfif", ".jif", ".jp2", ".jpe",  ".jpeg", ".jpg",
      ".pam",  ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".ras",  ".sr",  ".tif", ".tiff", ".webp"};
  return std::find(kExtensions.begin(), kExtensions.end(), extension_of(name)) != kExtensions.end();
}

std::string path_in(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

FolderContents Walker::level(const std::string& relative) const {
  std::vector<std::string> others;
  return read(relative, others);
}

FolderContents Walker::tree(const std::string& relative) {
  std::vector<FolderId> above = folders_above(relative);
  return descend(relative, above);
}

std::vector<Walker::FolderId> Walker::folders_above(const std::string& relative) const {
  std::vector<FolderId> above;
  std::error_code error;
  fs::path folder = fs::canonical(absolute(relative), error);
  while (!error && folder != folder.root_path()) {
    folder = folder.parent_path();
    struct stat info {};
    if (::stat(folder.c_str(), &info) == 0) above.emplace_back(info.st_dev, info.st_ino);
  }
  return above;
}

FolderContents Walker::read(const std::string& relative, std::vector<std::string>& others) const {
  FolderContents out;
  std::error_code error;
  for (fs::directory_iterator entry(absolute(relative), error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (is_passed_over(name)) continue;
    std::error_code unknown;
    if (entry->is_directory(unknown)) {
      out.folders.push_back(name);
    } else if (entry->exists(unknown) && !entry->is_regular_file(unknown)) {
      ++out.special;  // pipes, sockets, devices: they would block their reader
    } else if (is_picture_name(name) && (entry->is_regular_file(unknown) || !entry->exists(unknown))) {
      // A broken link that is named like a picture stays: whoever opens it says so.
      out.pictures.push_back(path_in(relative, name));
    } else {
      others.push_back(path_in(relative, name));
    }
  }
  if (error) throw DataError("cannot read " + absolute(relative) + ": " + error.message());
  std::sort(out.folders.begin(), out.folders.end());
  return out;
}

FolderContents Walker::descend(const std::string& relative, std::vector<FolderId>& above) {
  struct stat info {};
  if (::stat(absolute(relative).c_str(), &info) != 0) {
    throw DataError("cannot read " + absolute(relative) + ": " + std::strerror(errno));
  }
  const FolderId id(info.st_dev, info.st_ino);
  if (std::find(above.begin(), above.end(), id) != above.end()) {
    loops_.push_back(relative);
    return {};
  }
  const size_t depth = above.size();
  std::error_code unknown;
  if (fs::is_symlink(absolute(relative), unknown)) {
    for (const FolderId& folder : folders_above(relative)) above.push_back(folder);
  }
  above.push_back(id);
  std::vector<std::string> others;
  FolderContents out = read(relative, others);
  for (const std::string& other : others) leave_out(other);
  special_ += out.special;
  for (const std::string& name : out.folders) {
    const FolderContents below = descend(path_in(relative, name), above);
    out.pictures.insert(out.pictures.end(), below.pictures.begin(), below.pictures.end());
  }
  above.resize(depth);
  return out;
}

void Walker::leave_out(const std::string& relative) {
  ++left_out_[extension_of(relative)];
  // Folders are read in no fixed order; the least name makes the note the same on every machine.
  if (first_left_out_.empty() || relative < first_left_out_) first_left_out_ = relative;
}

std::vector<std::string> Walker::notes() const {
  std::vector<std::string> out;
  if (!left_out_.empty()) {
    int64_t count = 0;
    std::vector<std::string> kinds;
    for (const auto& [extension, n] : left_out_) {
      count += n;
      kinds.push_back(text::cat(extension.empty() ? "no extension" : extension, " ", n));
    }
    out.push_back(text::count_of(count, "file") + " left out, by extension not a picture (" +
                  text::abridge(kinds, 8, ", ") + "); first: " + first_left_out_);
  }
  if (special_ > 0)
    out.push_back(text::count_of(special_, "pipe, socket or device", "pipes, sockets or devices") + " left out");
  for (const std::string& loop : loops_) out.push_back("a link to a folder it stands in is not followed: " + loop);
  return out;
}

}  // namespace engraft::data
