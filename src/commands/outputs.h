#pragma once

#include <string>
#include <vector>

#include "data/listing.h"

namespace engraft::commands {

/// A file that a command writes because a flag asked for it.
struct OutputFile {
  const char* flag;
  std::string path;  // empty: not asked for
};

/// Throws UsageError where two of `outputs` are one file, or one of them is `model` or a file of `listing`.
void check_outputs(const std::vector<OutputFile>& outputs, const std::string& model, const data::Listing& listing);

}  // namespace engraft::commands
