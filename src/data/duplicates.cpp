#include "data/duplicates.h"

#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/text.h"

namespace engraft::data {

namespace {

/// A file that is there, by device and inode, and the sample that names it.
struct Named {
  dev_t device;
  ino_t inode;
  size_t sample;
  bool same_file(const Named& other) const { return device == other.device && inode == other.inode; }
};

/// By file, then by sample.
std::vector<Named> files_of(const Listing& listing) {
  std::vector<Named> files;
  files.reserve(listing.samples.size());
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    struct stat info {};
    if (::stat(listing.samples[i].file.c_str(), &info) == 0) files.push_back({info.st_dev, info.st_ino, i});
  }
  std::sort(files.begin(), files.end(), [](const Named& a, const Named& b) {
    return std::tie(a.device, a.inode, a.sample) < std::tie(b.device, b.inode, b.sample);
  });
  return files;
}

/// How many files are concerned, and the pair of samples with the least first one.
struct Found {
  int64_t count = 0;
  size_t first = 0, second = 0;
  void add(size_t i, size_t j) {
    if (count++ == 0 || i < first) std::tie(first, second) = std::tie(i, j);
  }
};

}  // namespace

void find_duplicates(Listing& listing, const PairName& name) {
  Found repeated, in_conflict;
  const std::vector<Named> files = files_of(listing);
  for (auto begin = files.begin(); begin != files.end();) {
    const auto end = std::find_if(begin, files.end(), [&](const Named& file) { return !file.same_file(*begin); });
    if (end - begin > 1) {
      const Sample& one = listing.samples[begin->sample];
      repeated.add(begin->sample, (begin + 1)->sample);
      const auto other = std::find_if(begin, end, [&](const Named& file) {
        const Sample& sample = listing.samples[file.sample];
        return sample.label_name != one.label_name || sample.split != one.split;
      });
      if (other != end) in_conflict.add(begin->sample, other->sample);
    }
    begin = end;
  }
  if (repeated.count > 0) {
    listing.notes.push_back(text::count_of(repeated.count, "picture") +
                            " listed more than once; first: " + name(repeated.first, repeated.second));
  }
  if (in_conflict.count > 0) {
    listing.warnings.push_back(
        text::count_of(in_conflict.count, "picture") +
        " under two labels or in two splits; first: " + name(in_conflict.first, in_conflict.second));
  }
}

}  // namespace engraft::data
