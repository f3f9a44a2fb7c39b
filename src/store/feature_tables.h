#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/unfinished.h"

namespace engraft::store {

struct TableCounts {
  /// Pictures without a row, rows that do not hold any more, and lines of files.csv.
  int64_t skipped = 0, superseded = 0, files = 0;
};

/// The lines of files.csv: the first `base_files` of the store before, and those of what a writing added.
std::vector<PictureFile> all_files(const std::string& folder, int64_t base_files);

/// Writes index.csv, files.csv and, where there are skipped pictures, skipped.csv: of what a writing added, and of the
/// finished store before it. Done again after a kill, it gives the same. `current`: labels, splits and slices that
/// pictures of earlier generations have now. Throws SystemError, DataError for damaged tables.
TableCounts write_tables(const std::string& folder, const std::vector<std::string>& slice_names,
                         const Unfinished& state, const std::vector<IndexRow>& current);

}  // namespace engraft::store
