#include "base/text.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace engraft;

TEST_CASE("numbers are read whole or not at all", "[unit]") {
  CHECK(text::to_int("42") == 42);
  CHECK(text::to_int("+7") == 7);
  CHECK(text::to_int("-3") == -3);
  for (const char* bad : {"", "12x", " 1", "1.5", "99999999999999999999"}) CHECK_FALSE(text::to_int(bad));
  CHECK(text::to_double("1e-5") == 1e-5);
  CHECK_FALSE(text::to_double("0.1.2"));
}

TEST_CASE("a misspelt word finds its neighbour, a strange one finds nothing", "[unit]") {
  const std::vector<std::string> blocks = {"Conv2d_1a_3x3", "Mixed_7a", "Mixed_7b"};
  CHECK(text::closest("mixed_7a", blocks) == "Mixed_7a");
  CHECK(text::closest("Mixed7b", blocks) == "Mixed_7b");
  CHECK_FALSE(text::closest("zebra", blocks));
}

TEST_CASE("figures read as a person writes them", "[unit]") {
  CHECK(text::bytes(1536) == "1.5 KiB");
  CHECK(text::magnitude(811) == "811");
  CHECK(text::magnitude(5012345) == "5.01 M");
  CHECK(text::duration(3725) == "1h 02m");
  CHECK(text::duration(75) == "1m 15s");
  CHECK(text::count_of(1, "picture") == "1 picture");
  CHECK(text::count_of(2, "class", "classes") == "2 classes");
  CHECK(text::shortest(0.1f) == "0.1");
  CHECK(text::shortest(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(text::abridge({"a", "b", "c", "d", "e"}, 4) == "a b c … e");
}
