#include "io/csv.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;
using Rows = std::vector<std::vector<std::string>>;

TEST_CASE("a table is read as RFC 4180 says", "[unit]") {
  struct Case {
    const char* what;
    std::string text;
    char separator;
    Rows rows;
    std::vector<int64_t> lines;
  };
  const std::vector<Case> cases = {
      {"plain", "a,b\n1,2\n3,4\n", ',', {{"1", "2"}, {"3", "4"}}, {2, 3}},
      {"no line end at the end", "a,b\n1,2", ',', {{"1", "2"}}, {2}},
      {"CRLF", "a,b\r\n1,2\r\n", ',', {{"1", "2"}}, {2}},
      {"CR", "a,b\r1,2\r3,4", ',', {{"1", "2"}, {"3", "4"}}, {2, 3}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "a,b\n1,2\n",
       ',',
       {{"1", "2"}},
       {2}},
      {"blank lines count as lines", "\na,b\n\n1,2\n\r\n3,4\n\n", ',', {{"1", "2"}, {"3", "4"}}, {4, 6}},
      {"quotes", "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n", ',', {{"x,y", "say \"hi\""}}, {2}},
      {"line ends in a field", "a,b\n\"1\n2\r\n3\",x\ny,z\n", ',', {{"1\n2\r\n3", "x"}, {"y", "z"}}, {2, 5}},
      {"a quote inside an unquoted field", "a,b\n5\" nail,x\n", ',', {{"5\" nail", "x"}}, {2}},
      {"empty fields", "a,b\n,\n\"\",\"\"\n1,", ',', {{"", ""}, {"", ""}, {"1", ""}}, {2, 3, 4}},
      {"one column, an empty quoted field", "a\n\"\"\nx\n", ',', {{""}, {"x"}}, {2, 3}},
      {"tabs", "a\tb\n1,5\t2\n", '\t', {{"1,5", "2"}}, {2}},
      {"spaces and bytes are kept", "a,b\n 1 ,\xE9\n", ',', {{" 1 ", "\xE9"}}, {2}},
      {"a header alone", "a,b", ',', {}, {}},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const io::CsvTable table = io::parse_csv(c.text, "t.csv", c.separator);
    CHECK(table.header.front() == "a");
    CHECK(table.rows == c.rows);
    CHECK(table.lines == c.lines);
  }
}

TEST_CASE("a damaged table names its file and line", "[unit]") {
  struct Case {
    std::string text;
    const char* error;
  };
  const std::vector<Case> cases = {
      {"", "t.csv: is empty; expected a header line"},
      {"\n\r\n", "t.csv: is empty; expected a header line"},
      {"a,b\n1,2\n3\n", "t.csv:3: 1 field where the header has 2"},
      {"a,b\n1,2,3\n", "t.csv:2: 3 fields where the header has 2"},
      {"a,b\n\"x\ny\",2\n\"1,2\n3,4\n", "t.csv:4: a quote opened on this line is never closed"},
      {"a,b\n\"1\"x,2\n", "t.csv:2: text after a closing quote; expected a separator"},
      {"a,b,a\n", "t.csv:1: column 'a' stands twice in the header"},
      {std::string("\xFF\xFE") + "a", "t.csv: is UTF-16; expected UTF-8 text"},
  };
  for (const Case& c : cases) CHECK_THROWS_WITH(io::parse_csv(c.text, "t.csv"), c.error);
  CHECK_THROWS_AS(io::parse_csv("", "t.csv"), DataError);
}

TEST_CASE("columns are found by name", "[unit]") {
  const io::CsvTable table = io::parse_csv("image_path,label\n", "t.csv");
  CHECK(table.column("label") == 1);
  CHECK(table.column("Label") == -1);
}

TEST_CASE("a line quotes what needs it and reads back", "[unit]") {
  CHECK(io::csv_line({"a", "b c", ""}) == "a,b c,\n");
  CHECK(io::csv_line({"x,y", "say \"hi\"", "1\n2"}) == "\"x,y\",\"say \"\"hi\"\"\",\"1\n2\"\n");
  test::TempFolder folder;
  const Rows rows = {{"a", ""}, {"x,y", "\""}, {"\r", "\r\n"}, {"\"\"", " \t"}, {"\xFF", "\""}};
  std::string bytes = io::csv_line({"p", "q"});
  for (const auto& row : rows) bytes += io::csv_line(row);
  io::write_file(folder / "t.csv", bytes);
  CHECK(io::read_csv(folder / "t.csv").rows == rows);
  CHECK(io::parse_csv(io::csv_line({"p"}) + io::csv_line({""}), "t").rows == Rows{{""}});
}
