#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "data/listing.h"

namespace engraft::data {

/// "a.jpg (lines 2 and 5)" or "train/cat/a.jpg and val/cat/b.jpg": how two samples are named together.
using PairName = std::function<std::string(size_t, size_t)>;

/// Adds a note about files that several samples name, by whatever path or link (one device and inode), and a warning
/// about those under two labels or in two splits. To be called once splits are settled. Equal bytes in two files are
/// not looked for.
void find_duplicates(Listing& listing, const PairName& name);

}  // namespace engraft::data
