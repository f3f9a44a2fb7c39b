#pragma once

#include <string>

#include "base/errors.h"
#include "base/text.h"
#include "data/listing.h"
#include "support/support.h"

namespace engraft::test {

/// Options of a command that takes pictures without labels.
inline data::ListingOptions unlabelled() {
  data::ListingOptions options;
  options.labels_required = false;
  return options;
}

/// The error of list_data with the folder's own path taken out, or "".
inline std::string error_of(const TempFolder& folder, const std::string& path, const data::ListingOptions& options) {
  try {
    data::list_data(path, options);
  } catch (const DataError& error) {
    return text::replace_all(error.what(), folder.path(), "DIR");
  }
  return "";
}

}  // namespace engraft::test
