#include "store/feature_index.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "io/csv.h"
#include "store/feature_files.h"

namespace engraft::store {

namespace {

constexpr std::array<const char*, 6> kFileColumns = {"image_path", "generation",  "row",
                                                     "bytes",      "modified_ns", "xxh3_128"};

std::vector<std::string> index_columns(const std::vector<std::string>& slice_names) {
  std::vector<std::string> columns(kIndexColumns.begin(), kIndexColumns.end());
  columns.insert(columns.end(), slice_names.begin(), slice_names.end());
  return columns;
}

std::string number_or_empty(int64_t number) { return number < 0 ? "" : std::to_string(number); }

/// The first `rows` rows of a table with these columns, or all.
io::CsvTable read_table(const std::string& csv, const std::string& where, const std::vector<std::string>& columns,
                        int64_t rows) {
  io::CsvTable table = io::parse_csv(csv, where);
  if (table.header != columns)
    throw DataError(where + ": columns " + text::join(table.header, ",") + "; expected " + text::join(columns, ","));
  if (static_cast<int64_t>(table.rows.size()) < rows)
    throw DataError(text::cat(where, ": ", table.rows.size(), " rows; the store has ", rows));
  if (rows != kAllLines) table.rows.resize(static_cast<size_t>(rows));
  return table;
}

/// Fields of one row; an error names its line.
class Fields {
 public:
  Fields(std::vector<std::string>& fields, const std::string& where, int64_t line)
      : fields_(fields), where_(where), line_(line) {}

  std::string text(size_t column) { return std::move(fields_[column]); }
  /// Empty: -1.
  int64_t number_or_none(size_t column) const { return fields_[column].empty() ? -1 : number(column); }
  int64_t number(size_t column) const {
    const auto value = text::to_int(fields_[column]);
    if (!value) fail(column, "a number");
    return *value;
  }
  [[noreturn]] void fail(size_t column, const std::string& expected) const {
    throw DataError(text::cat(where_, ":", line_, ": '", fields_[column], "'; expected ", expected));
  }

 private:
  std::vector<std::string>& fields_;
  const std::string& where_;
  int64_t line_;
};

}  // namespace

std::string index_header(const std::vector<std::string>& slice_names) {
  return io::csv_line(index_columns(slice_names));
}

std::string files_header() { return io::csv_line({kFileColumns.begin(), kFileColumns.end()}); }

std::string skipped_header() { return io::csv_line({"image_path", "reason"}); }

std::string index_line(int64_t number, const IndexRow& row) {
  std::vector<std::string> fields = {std::to_string(number),
                                     row.image_path,
                                     row.label,
                                     row.split,
                                     std::to_string(row.view),
                                     std::to_string(row.generation),
                                     number_or_empty(row.superseded)};
  fields.insert(fields.end(), row.slices.begin(), row.slices.end());
  return io::csv_line(fields);
}

std::string file_line(const PictureFile& file) {
  return io::csv_line({file.image_path, std::to_string(file.generation), number_or_empty(file.row),
                       std::to_string(file.facts.bytes), std::to_string(file.facts.modified_ns),
                       io::to_hex(file.facts.digest)});
}

std::string skipped_line(const std::string& image_path, const std::string& reason) {
  return io::csv_line({image_path, reason});
}

std::vector<IndexRow> parse_index(const std::string& csv, const std::string& where,
                                  const std::vector<std::string>& slice_names, int64_t first, int64_t lines,
                                  int64_t generations) {
  io::CsvTable table = read_table(csv, where, index_columns(slice_names), lines);
  std::vector<IndexRow> index;
  index.reserve(table.rows.size());
  for (size_t i = 0; i < table.rows.size(); ++i) {
    std::vector<std::string>& raw = table.rows[i];
    Fields fields(raw, where, table.lines[i]);
    const int64_t row_number = first + static_cast<int64_t>(i);
    if (raw[0] != std::to_string(row_number)) fields.fail(0, text::cat("row ", row_number));
    IndexRow row{fields.text(1), fields.text(2), fields.text(3), {}, fields.number(4), fields.number(5)};
    const int64_t superseded = fields.number_or_none(6);
    if (superseded < generations) row.superseded = superseded;
    row.slices.assign(std::make_move_iterator(raw.begin() + kIndexColumns.size()), std::make_move_iterator(raw.end()));
    index.push_back(std::move(row));
  }
  return index;
}

std::vector<PictureFile> parse_files(const std::string& csv, const std::string& where, int64_t lines) {
  io::CsvTable table = read_table(csv, where, {kFileColumns.begin(), kFileColumns.end()}, lines);
  std::vector<PictureFile> files;
  files.reserve(table.rows.size());
  for (size_t i = 0; i < table.rows.size(); ++i) {
    std::vector<std::string>& raw = table.rows[i];
    Fields fields(raw, where, table.lines[i]);
    const auto digest = io::digest_from_hex(raw[5]);
    if (!digest) fields.fail(5, "32 hex digits");
    const int64_t row = fields.number_or_none(2);
    files.push_back({fields.text(0), fields.number(1), row, {fields.number(3), fields.number(4), *digest}});
  }
  return files;
}

std::vector<std::vector<std::string>> parse_skipped(const std::string& csv, const std::string& where) {
  return read_table(csv, where, {"image_path", "reason"}, kAllLines).rows;
}

std::vector<PictureFile> newest_files(const std::vector<PictureFile>& files) {
  std::unordered_map<std::string, size_t> last;
  for (size_t i = 0; i < files.size(); ++i) last[files[i].image_path] = i;
  std::vector<PictureFile> out;
  out.reserve(last.size());
  for (size_t i = 0; i < files.size(); ++i) {
    if (last.at(files[i].image_path) == i) out.push_back(files[i]);
  }
  return out;
}

void mark_superseded(std::vector<IndexRow>& index, const std::vector<PictureFile>& files) {
  std::unordered_map<std::string, std::vector<int64_t>> generations;  // those with a line, ascending
  for (const PictureFile& file : files) generations[file.image_path].push_back(file.generation);
  for (IndexRow& row : index) {
    const auto found = generations.find(row.image_path);
    if (found == generations.end()) continue;
    const auto later = std::upper_bound(found->second.begin(), found->second.end(), row.generation);
    row.superseded = later == found->second.end() ? -1 : *later;
  }
}

}  // namespace engraft::store
