#include "data/duplicates.h"

#include <sys/stat.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "base/text.h"

namespace engraft::data {

namespace {

/// The same for all paths to one file; the path itself where there is no file.
std::string identity_of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return file;
  return text::cat(info.st_dev, ":", info.st_ino);
}

}  // namespace

void note_duplicates(Listing& listing, const PairName& name) {
  std::unordered_map<std::string, std::vector<size_t>> rows;
  std::vector<const std::vector<size_t>*> groups;  // in the order of their first samples
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    std::vector<size_t>& same = rows[identity_of(listing.samples[i].file)];
    same.push_back(i);
    if (same.size() == 2) groups.push_back(&same);
  }
  if (groups.empty()) return;
  std::sort(groups.begin(), groups.end(), [](const auto* a, const auto* b) { return a->front() < b->front(); });
  int64_t in_conflict = 0;
  std::string first_conflict;
  for (const std::vector<size_t>* same : groups) {
    const Sample& one = listing.samples[same->front()];
    const auto other = std::find_if(same->begin(), same->end(), [&](size_t i) {
      return listing.samples[i].label_name != one.label_name || listing.samples[i].split != one.split;
    });
    if (other != same->end() && in_conflict++ == 0) first_conflict = name(same->front(), *other);
  }
  listing.notes.push_back(text::count_of(static_cast<int64_t>(groups.size()), "picture") +
                          " listed more than once; first: " + name((*groups[0])[0], (*groups[0])[1]));
  if (in_conflict > 0) {
    listing.notes.push_back(text::count_of(in_conflict, "picture") +
                            " under two labels or splits; first: " + first_conflict);
  }
}

}  // namespace engraft::data
