#include "io/atomic_file.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/errors.h"
#include "support/support.h"

using namespace engraft;

TEST_CASE("a file appears whole at commit, and not before", "[unit]") {
  test::TempFolder folder;
  io::write_file(folder / "a", "old");
  {
    io::AtomicFile file(folder / "a");
    file.write("new text");
    file.write_at(0, "N", 1);
    CHECK(io::read_file(folder / "a") == "old");
    file.commit();
  }
  CHECK(io::read_file(folder / "a") == "New text");
}

TEST_CASE("an abandoned file leaves nothing behind", "[unit]") {
  test::TempFolder folder;
  { io::AtomicFile(folder / "a").write("half"); }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("what cannot be read or written is named", "[unit]") {
  test::TempFolder folder;
  CHECK_THROWS_WITH(io::read_file(folder / "none"), Catch::Contains("none: No such file"));
  CHECK_THROWS_AS(io::read_file(folder.path()), DataError);
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(io::read_regular_file(folder / "pipe"), Catch::Contains("pipe: a pipe or device, not a file"));
  CHECK_THROWS_AS(io::read_regular_file("/dev/zero"), DataError);
  test::put_file(folder / "file", "text");
  CHECK(io::read_regular_file(folder / "file") == "text");
  CHECK_THROWS_AS(io::write_file(folder / "no/such/folder", "x"), SystemError);
}
