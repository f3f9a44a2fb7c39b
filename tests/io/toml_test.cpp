#include "io/toml.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/errors.h"

using namespace engraft;

TEST_CASE("TOML is read as JSON, in the order of the file", "[unit]") {
  const io::Json value =
      io::parse_toml("b = 1\na = [1.5, 2.5]\n[t]\nz = \"q\"\n[[stage]]\nepochs = 3\n[[stage]]\nepochs = 4\n", "x.toml");
  CHECK(value.begin().key() == "b");
  CHECK(value["a"][1] == 2.5);
  CHECK(value["t"]["z"] == "q");
  CHECK(value["stage"][1]["epochs"] == 4);
}

TEST_CASE("what is written as TOML reads back equal", "[unit]") {
  io::Json value = {{"learning_rate", 1e-5}, {"whole", 2.0},         {"n", 3}, {"on", true}, {"name", "a \"b\"\n\\c é"},
                    {"list", {"x", "y"}},    {"table", {{"k", "v"}}}};
  value["stage"] = io::Json::array({{{"unfreeze", "mixed_8"}, {"epochs", 1}}, {{"unfreeze", "all"}}});
  CHECK(io::parse_toml(io::to_toml(value), "back") == value);
}

TEST_CASE("a broken file is named with its line", "[unit]") {
  CHECK_THROWS_WITH(io::parse_toml("a = 1\nb = = 2\n", "bad.toml"), Catch::StartsWith("bad.toml:2: not TOML"));
  CHECK_THROWS_AS(io::parse_json("{", "x.json"), DataError);
}
