#pragma once

#include <string>

#include "data/listing.h"

namespace engraft::data {

/// list_data of a .csv or .tsv file.
Listing list_manifest(const std::string& path, const ListingOptions& options);

/// list_data of a plain list.
Listing list_file_of_paths(const std::string& path, const ListingOptions& options);

/// list_data of a plain list on standard input.
Listing list_standard_input(const ListingOptions& options);

}  // namespace engraft::data
