#pragma once

#include <string>
#include <vector>

#include "data/listing.h"

namespace engraft::data {

/// The .tar files that `path` means, sorted by name: itself, those of a folder that holds no pictures and no folders
/// beside them, or those of `{000..012}` in it, of which each is named whether it exists or not. None where it means
/// something else.
std::vector<std::string> tar_shards_at(const std::string& path);

/// list_data of .tar files, which are read through once, header by header.
Listing list_tars(const std::vector<std::string>& shards, const ListingOptions& options);

}  // namespace engraft::data
