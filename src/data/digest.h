#pragma once

#include <string>
#include <vector>

#include "data/listing.h"
#include "io/file_facts.h"

namespace engraft::data {

/// What of the pictures themselves enters a digest.
enum class DigestOf {
  /// Their sizes: quick, does not notice a picture changed without changing its size.
  kSizes,
  /// Their sizes and when they were last written: as quick, and notices more.
  kFacts,
  /// Their bytes: reads every file once.
  kContent,
};

/// 32 hex characters (xxh3-128) over the classes in order and, for each sample in order, image_path, label name, split,
/// slices, and the file's size or bytes. Does not depend on where the data set lies, unless a manifest or list gives
/// absolute paths. A file that cannot be read, a
/// pipe or a device counts as such and throws nothing. Throws Stopped between two files.
std::string data_digest(const Listing& listing, DigestOf what = DigestOf::kContent);

/// The same as of kContent, by what was noted of each sample's file (in the order of the samples) when it was read.
std::string data_digest(const Listing& listing, const std::vector<io::FileFacts>& facts);

/// What each sample's file holds, in the order of the samples: its size and digest; size -1 where it cannot be read.
/// Reads every file. Throws Stopped between two files.
std::vector<io::FileFacts> read_contents(const Listing& listing);

/// The same hexadecimal digest of `rows` alone, by image_path, label name and what was noted of the files: of which
/// pictures figures were found.
std::string rows_digest(const Listing& listing, const std::vector<int64_t>& rows,
                        const std::vector<io::FileFacts>& facts);

/// The `most` least of the digests (xxh3-128) of the image_paths of `rows`, sorted: a sample that depends on the paths
/// alone, by which it can be told later whether a picture was among them.
std::vector<std::string> path_sample(const Listing& listing, const std::vector<int64_t>& rows, size_t most);

/// How many of `sample` are paths of `rows`.
int64_t count_sampled(const Listing& listing, const std::vector<int64_t>& rows, const std::vector<std::string>& sample);

}  // namespace engraft::data
