#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace engraft::io {

/// A table of text fields with a header line.
struct CsvTable {
  /// Names of the columns, as written.
  std::vector<std::string> header;
  /// Every row has as many fields as the header.
  std::vector<std::vector<std::string>> rows;
  /// The line of the file (from 1) on which each row begins; errors about a row name it.
  std::vector<int64_t> lines;

  /// The index of the column called `name`, or -1.
  int64_t column(std::string_view name) const;
};

/// Reads CSV after RFC 4180, `separator` ',' or '\t': fields may be quoted, a quoted field may hold separators, doubled
/// quotes and line ends. Lines end with LF, CRLF or CR. A UTF-8 byte order mark is dropped; blank lines are skipped; a
/// quote in the middle of an unquoted field stands for itself. Bytes that are not UTF-8 are kept.
///
/// Throws DataError "PATH:LINE: …" for a row whose number of fields is not the header's, an open quote, text after a
/// closing quote, and a column named twice; "PATH: …" for an empty file and for UTF-16.
CsvTable read_csv(const std::string& path, char separator = ',');

/// The same of a text in memory; `where` stands for the path in errors.
CsvTable parse_csv(std::string_view text, const std::string& where, char separator = ',');

/// One line, separated by commas, ending with "\n"; fields are quoted only where they must be.
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace engraft::io
