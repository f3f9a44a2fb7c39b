#include "io/safetensors.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;

TEST_CASE("tensors come back as they were written", "[unit]") {
  test::TempFolder folder;
  const std::vector<float> weight = {1, 2, 3, 4, 5, 6};
  const int64_t step = 7;
  io::write_safetensors(folder / "x", {{"fc1.weight", "F32", {2, 3}, weight.data(), 24},
                                       {"\"odd\" näme/step", "I64", {}, &step, 8},
                                       {"empty", "F32", {0, 5}, nullptr, 0}});
  const io::SafetensorsFile file = io::read_safetensors(folder / "x");
  REQUIRE(file.tensors.size() == 3);
  for (const io::TensorEntry& entry : file.tensors) {
    if (entry.name == "fc1.weight") {
      CHECK(entry.dtype == "F32");
      CHECK(entry.shape == std::vector<int64_t>{2, 3});
      CHECK(std::string(file.bytes, static_cast<size_t>(entry.offset), 24) ==
            std::string(reinterpret_cast<const char*>(weight.data()), 24));
    }
    if (entry.dtype == "I64") CHECK(entry.name == "\"odd\" näme/step");
  }
}

TEST_CASE("the bytes are those of the format", "[golden]") {
  test::TempFolder folder;
  const float value = 1.5F;
  io::write_safetensors(folder / "x", {{"a", "F32", {1}, &value, 4}});
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(io::read_file(folder / "x") == std::string(1, static_cast<char>(padded.size())) + std::string(7, '\0') +
                                           padded + std::string("\0\0\xC0\x3F", 4));
}

TEST_CASE("what is no such file is told", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "short", "abc");
  test::put_file(folder / "long", std::string("\xFF\xFF\0\0\0\0\0\0{}", 10));
  const std::string outside = R"({"a":{"data_offsets":[0,400],"dtype":"F32","shape":[100]}})";
  test::put_file(folder / "outside",
                 std::string(1, static_cast<char>(outside.size())) + std::string(7, '\0') + outside);
  CHECK_THROWS_WITH(io::read_safetensors(folder / "short"), Catch::Contains("not a safetensors file, or cut short"));
  CHECK_THROWS_AS(io::read_safetensors(folder / "long"), DataError);
  CHECK_THROWS_WITH(io::read_safetensors(folder / "outside"), Catch::Contains("tensor 'a' is said to lie at 0 to 400"));
  CHECK_THROWS_AS(io::read_safetensors(folder / "none"), DataError);
}

TEST_CASE("a tensor written row by row is the tensor written at once", "[unit]") {
  test::TempFolder folder;
  const std::vector<uint16_t> values = {1, 2, 3, 4, 5, 6};
  {
    io::SafetensorsRowWriter writer(folder / "rows", "features", "BF16", 2, {1, 2});
    writer.append(values.data(), 1);
    writer.append(values.data() + 2, 2);
    CHECK(writer.rows() == 3);
    CHECK(writer.row_bytes() == 4);
    CHECK(!std::filesystem::exists(folder / "rows"));
    writer.commit();
  }
  const io::SafetensorsFile file = io::read_safetensors(folder / "rows");
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].name == "features");
  CHECK(file.tensors[0].dtype == "BF16");
  CHECK(file.tensors[0].shape == std::vector<int64_t>{3, 1, 2});
  CHECK(file.tensors[0].bytes == 12);
  CHECK(file.tensors[0].offset % 8 == 0);
  CHECK(std::memcmp(file.bytes.data() + file.tensors[0].offset, values.data(), 12) == 0);
  const std::vector<io::TensorEntry> listed = io::list_safetensors(folder / "rows");
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].offset == file.tensors[0].offset);
  CHECK(listed[0].shape == file.tensors[0].shape);
}

TEST_CASE("a list of tensors is refused where the file is cut", "[unit]") {
  test::TempFolder folder;
  for (const std::string& bytes : {std::string(), std::string("1234567"), std::string("\x7f\0\0\0\0\0\0\0{}", 10)}) {
    test::put_file(folder / "cut", bytes);
    CHECK_THROWS_AS(io::list_safetensors(folder / "cut"), DataError);
    CHECK_THROWS_AS(io::read_safetensors(folder / "cut"), DataError);
  }
  CHECK_THROWS_AS(io::list_safetensors(folder / "none"), DataError);
}
