#include "commands/outputs.h"

#include <algorithm>
#include <filesystem>

#include "base/errors.h"

namespace engraft::commands {

namespace fs = std::filesystem;

namespace {

/// Whether two paths lead to one regular file; a pipe or device is written to, not replaced, and may be given twice.
bool are_one_file(const std::string& a, const std::string& b) {
  std::error_code unknown;
  if (fs::exists(a, unknown) && !fs::is_regular_file(a, unknown)) return false;
  if (fs::weakly_canonical(fs::absolute(a), unknown) == fs::weakly_canonical(fs::absolute(b), unknown)) return true;
  return fs::equivalent(a, b, unknown);
}

}  // namespace

void check_outputs(const std::vector<OutputFile>& outputs, const std::string& model, const data::Listing& listing) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const OutputFile& output = outputs[i];
    if (output.path.empty()) continue;
    for (size_t j = 0; j < i; ++j) {
      if (!outputs[j].path.empty() && are_one_file(output.path, outputs[j].path)) {
        throw UsageError(std::string(output.flag) + " and " + outputs[j].flag + " are one file, " + output.path);
      }
    }
    std::error_code unknown;
    if (!fs::exists(output.path, unknown)) continue;
    const bool is_input = are_one_file(output.path, model) ||
                          std::any_of(listing.samples.begin(), listing.samples.end(), [&](const data::Sample& sample) {
                            return fs::equivalent(output.path, sample.file, unknown);
                          });
    if (is_input)
      throw UsageError(std::string(output.flag) + " " + output.path + ": would replace a file that is read");
  }
}

}  // namespace engraft::commands
