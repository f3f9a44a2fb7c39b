#pragma once

#include <string>
#include <string_view>

#include "data/listing.h"

namespace engraft::data {

/// What of the pictures themselves enters a digest.
enum class DigestOf {
  /// Their sizes: quick, does not notice a picture changed without changing its size.
  kSizes,
  /// Their bytes: reads every file once.
  kContent,
};

/// 32 hex characters (xxh3-128) over the classes in order and, for each sample in order, image_path, label name, split,
/// slices, and the file's size or bytes. Does not depend on where the data set lies, unless a manifest or list gives
/// absolute paths. A file that cannot be read, a
/// pipe or a device counts as such and throws nothing. Throws Stopped between two files.
std::string data_digest(const Listing& listing, DigestOf what = DigestOf::kContent);

/// xxh3-128 over the sorted image_paths of one split.
std::string paths_digest(const Listing& listing, std::string_view split);

}  // namespace engraft::data
