#pragma once

#include <set>
#include <string>
#include <vector>

#include "graph/audit.h"

namespace engraft::graph {

/// One code record of an archive.
struct CodeRecord {
  std::string name;
  std::string text;
};

/// What the code does beyond the lists of audit_names.h, in the order of the records. Nothing of it is compiled.
std::vector<Finding> audit_code(const std::vector<CodeRecord>& records);

}  // namespace engraft::graph
