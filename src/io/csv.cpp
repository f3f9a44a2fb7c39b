#include "io/csv.h"

#include <set>
#include <utility>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"

namespace engraft::io {

namespace {

/// Takes one record at a time off a text.
class RecordReader {
 public:
  RecordReader(std::string_view text, const std::string& where, char separator)
      : text_(text), where_(where), separator_(separator) {}

  /// The next record that is not a blank line; false at the end of the text.
  bool next(std::vector<std::string>& fields, int64_t& line) {
    while (at_ < text_.size()) {
      line = line_;
      fields.clear();
      if (end_of_line()) continue;  // a blank line
      for (;;) {
        fields.push_back(field());
        if (at_ == text_.size() || end_of_line()) return true;
        ++at_;  // the separator
        if (at_ == text_.size()) {
          fields.emplace_back();
          return true;
        }
      }
    }
    return false;
  }

 private:
  /// Takes a line end if one stands here.
  bool end_of_line() {
    if (text_[at_] != '\n' && text_[at_] != '\r') return false;
    at_ += text_.substr(at_, 2) == "\r\n" ? 2 : 1;
    ++line_;
    return true;
  }

  bool at_field_end() const {
    return at_ == text_.size() || text_[at_] == separator_ || text_[at_] == '\n' || text_[at_] == '\r';
  }

  std::string field() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted_field();
    const size_t begin = at_;
    while (!at_field_end()) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted_field() {
    const int64_t opened_at = line_;
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        if (text_.substr(at_, 2) != "\"\"") {
          ++at_;
          if (!at_field_end()) {
            throw DataError(text::cat(where_, ":", line_, ": text after a closing quote; expected a separator"));
          }
          return out;
        }
        ++at_;
      }
      if (c == '\n' || (c == '\r' && text_.substr(at_, 2) != "\r\n")) ++line_;
      out += c;
    }
    throw DataError(text::cat(where_, ":", opened_at, ": a quote opened on this line is never closed"));
  }

  std::string_view text_;
  const std::string& where_;
  char separator_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

void check_names(const std::vector<std::string>& header, const std::string& where, int64_t line) {
  std::set<std::string> seen;
  for (const std::string& name : header) {
    if (!seen.insert(name).second) {
      throw DataError(text::cat(where, ":", line, ": column '", name, "' stands twice in the header"));
    }
  }
}

}  // namespace

int64_t CsvTable::column(std::string_view name) const {
  for (size_t i = 0; i < header.size(); ++i) {
    if (header[i] == name) return static_cast<int64_t>(i);
  }
  return -1;
}

CsvTable parse_csv(std::string_view text, const std::string& where, char separator) {
  if (text::starts_with(text, "\xFF\xFE") || text::starts_with(text, "\xFE\xFF")) {
    throw DataError(where + ": is UTF-16; expected UTF-8 text");
  }
  if (text::starts_with(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  RecordReader reader(text, where, separator);
  CsvTable table;
  int64_t line = 0;
  if (!reader.next(table.header, line)) throw DataError(where + ": is empty; expected a header line");
  check_names(table.header, where, line);
  std::vector<std::string> fields;
  while (reader.next(fields, line)) {
    if (fields.size() != table.header.size()) {
      throw DataError(text::cat(where, ":", line, ": ", text::count_of(static_cast<int64_t>(fields.size()), "field"),
                                " where the header has ", table.header.size()));
    }
    table.rows.push_back(std::move(fields));
    table.lines.push_back(line);
  }
  return table;
}

CsvTable read_csv(const std::string& path, char separator) { return parse_csv(read_file(path), path, separator); }

std::string csv_line(const std::vector<std::string>& fields) {
  // A record of one empty field would read as a blank line, which is no record.
  if (fields.size() == 1 && fields[0].empty()) return "\"\"\n";
  std::string out;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    if (fields[i].find_first_of(",\"\r\n") == std::string::npos) {
      out += fields[i];
    } else {
      out += '"' + text::replace_all(fields[i], "\"", "\"\"") + '"';
    }
  }
  return out + '\n';
}

}  // namespace engraft::io
