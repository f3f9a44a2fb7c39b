#pragma once

#include <string>
#include <vector>

namespace engraft::report {

/// Rows of text in columns as wide as their widest cell, two spaces between them; the first two columns and the last
/// are left-aligned, the others right-aligned. A row may be shorter than others. Ends with a line break.
std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace engraft::report
