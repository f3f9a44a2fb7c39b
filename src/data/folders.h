#pragma once

#include <string>

#include "data/listing.h"

namespace engraft::data {

/// list_data of a folder (given without a final '/').
Listing list_folder(const std::string& root, const ListingOptions& options);

}  // namespace engraft::data
