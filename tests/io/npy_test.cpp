#include "io/npy.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;

namespace {

/// A file with the given header text, as version 1.0 writes it, and data.
std::string npy_bytes(std::string dict, const std::string& data) {
  dict.resize(117, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + dict + "\n" + data;
}

std::string error_of(const std::string& bytes) {
  test::TempFolder folder;
  io::write_file(folder / "a.npy", bytes);
  try {
    io::read_npy(folder / "a.npy");
  } catch (const DataError& error) {
    const std::string text = error.what();
    const size_t at = text.find("a.npy");
    return at == std::string::npos ? "the error does not name the file: " + text : text.substr(at);
  }
  return "no error";
}

}  // namespace

TEST_CASE("an array is written as numpy.save writes it", "[golden]") {
  // python3 -c "import numpy as np; np.save('a.npy', np.array([[1.5, -2]], '<f4'))"
  const std::string golden = npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }",
                                       std::string("\x00\x00\xc0\x3f\x00\x00\x00\xc0", 8));
  test::TempFolder folder;
  {
    io::NpyWriter writer(folder / "a.npy", "<f4", {2});
    const float row[2] = {1.5f, -2.0f};
    writer.append(row, 1);
    CHECK(writer.rows() == 1);
    CHECK(!std::filesystem::exists(folder / "a.npy"));
    writer.commit();
  }
  CHECK(io::read_file(folder / "a.npy") == golden);
}

TEST_CASE("arrays of any shape read back", "[unit]") {
  struct Case {
    const char* dtype;
    std::vector<int64_t> row_shape;
    int64_t rows;
    int64_t bytes;
  };
  const std::vector<Case> cases = {{"<f4", {3}, 5, 60}, {"<i8", {}, 4, 32},        {"|u1", {2, 3, 4}, 2, 48},
                                   {"<f2", {7}, 0, 0},  {"<f8", {1, 1}, 1, 8},     {"|b1", {}, 0, 0},
                                   {"<f4", {0}, 3, 0},  {"<u2", {123456789}, 0, 0}};
  for (const Case& c : cases) {
    test::TempFolder folder;
    std::vector<uint8_t> data(static_cast<size_t>(c.bytes));
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 37);
    io::NpyWriter writer(folder / "a.npy", c.dtype, c.row_shape);
    for (int64_t row = 0; row < c.rows; ++row) writer.append(data.data() + row * writer.row_bytes(), 1);
    writer.commit();
    const io::NpyArray array = io::read_npy(folder / "a.npy");
    std::vector<int64_t> shape = c.row_shape;
    shape.insert(shape.begin(), c.rows);
    CHECK(array.dtype == c.dtype);
    CHECK(array.shape == shape);
    CHECK(array.bytes == data);
    CHECK((std::filesystem::file_size(folder / "a.npy") - data.size()) % 64 == 0);
  }
}

TEST_CASE("headers that NumPy may write are read", "[unit]") {
  struct Case {
    const char* dict;
    std::vector<int64_t> shape;
  };
  const std::vector<Case> cases = {
      {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", {2}},
      {"{\"shape\":(1, 2L), \"fortran_order\": False, \"descr\": \"<i4\"}", {1, 2}},
      {"{'descr': '<i4', 'fortran_order': True, 'shape': (2,), }", {2}},
      {"{'descr': '<i8', 'fortran_order': False, 'shape': (), }", {}},
  };
  for (const Case& c : cases) {
    INFO(c.dict);
    test::TempFolder folder;
    io::write_file(folder / "a.npy", npy_bytes(c.dict, "12345678"));
    const io::NpyArray array = io::read_npy(folder / "a.npy");
    CHECK(array.shape == c.shape);
    CHECK(std::string(array.bytes.begin(), array.bytes.end()) == "12345678");
  }
  test::TempFolder folder;  // version 2.0: four bytes of length
  io::write_file(folder / "a.npy", std::string("\x93NUMPY\x02\x00\x36\x00\x00\x00", 12) +
                                       "{'descr': '|u1', 'fortran_order': False, 'shape': (2)}" + "ab");
  CHECK(io::read_npy(folder / "a.npy").shape == std::vector<int64_t>{2});
}

TEST_CASE("what is no plain array is refused with its reason", "[unit]") {
  struct Case {
    std::string bytes;
    const char* error;
  };
  const std::string f4 = "{'descr': '<f4', 'fortran_order': False, 'shape': ";
  const std::vector<Case> cases = {
      {"short", "a.npy: is not an npy file (5 bytes)"},
      {"not an array at all", "a.npy: is not an npy file (no \\x93NUMPY)"},
      {npy_bytes(f4 + "(2, 2), }", "12345678"), "a.npy: <f4 [2, 2] needs 16 bytes of data; found 8"},
      {npy_bytes(f4 + "(1,), }", "12345678"), "a.npy: <f4 [1] needs 4 bytes of data; found 8"},
      {npy_bytes(f4 + "(4294967296, 4294967296), }", ""), "a.npy: shape [4294967296, 4294967296] is too large"},
      {npy_bytes(f4 + "(-1,), }", ""), "a.npy: the npy header is damaged at its byte 51: expected a size"},
      {npy_bytes("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", "12345678"),
       "a.npy: is in Fortran order; expected C order (numpy.ascontiguousarray)"},
      {npy_bytes("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", "12345678"),
       "a.npy: holds big-endian '>f4'; expected little-endian numbers"},
      {npy_bytes("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "12345678"),
       "a.npy: holds '|O'; expected plain numbers, for instance '<f4' or '<i8'"},
      {npy_bytes("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2,), }", "12345678"),
       "a.npy: holds records; expected an array of plain numbers"},
      {npy_bytes("{'de\nscr': '<f4', 'shape': (2,), }", "12345678"),
       "a.npy: the npy header is damaged at its byte 1: a word with a byte that is not printable"},
      {npy_bytes("{'descr': '<f4', 'shape': (2,), }", "12345678"),
       "a.npy: the npy header is damaged at its byte 33: expected the keys descr, fortran_order and shape"},
      {std::string("\x93NUMPY\x01\x00\xff\xff", 10) + "xxxx",
       "a.npy: the npy header is damaged: it claims 65535 bytes"},
      {std::string("\x93NUMPY\x09\x00\x01\x00", 10) + "xxxx", "a.npy: npy version 9; expected 1, 2 or 3"},
  };
  for (const Case& c : cases) CHECK(error_of(c.bytes) == c.error);
  CHECK_THROWS_AS(io::read_npy("no/such.npy"), DataError);
}

TEST_CASE("no cut of a good file reads as an array", "[unit]") {
  const std::string good = npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", "12345678");
  CHECK(error_of(good) == "no error");
  for (size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK(error_of(good.substr(0, size)) != "no error");
  }
}

TEST_CASE("an open array gives any bytes of its data and no others", "[unit]") {
  test::TempFolder folder;
  io::NpyWriter writer(folder / "a.npy", "<i4", {2});
  const std::vector<int32_t> values = {0, 1, 2, 3, 4, 5};
  writer.append(values.data(), 3);
  writer.commit();
  const io::NpyReader reader(folder / "a.npy");
  int32_t row[2] = {};
  reader.read(8, 8, row);
  CHECK(row[0] == 2);
  CHECK(row[1] == 3);
  CHECK_THROWS_AS(reader.read(20, 8, row), DataError);
  CHECK_THROWS_AS(reader.read(-4, 4, row), DataError);
}
