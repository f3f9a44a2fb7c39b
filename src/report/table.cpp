#include "report/table.h"

#include <algorithm>

namespace engraft::report {

std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  const auto width_of = [](const std::string& text) {  // in code points
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  };
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width_of(row[c]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string gap(widths[c] - width_of(row[c]), ' ');
      const bool is_text = c == 0 || c == 1 || c + 1 == row.size();
      line += (c > 0 ? "  " : "") + (is_text ? row[c] + gap : gap + row[c]);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

}  // namespace engraft::report
