#include "io/file_lock.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "support/support.h"

using namespace engraft;

TEST_CASE("a lock is held until its object goes, and asking does not take it", "[unit]") {
  test::TempFolder folder;
  const std::string path = folder / "lock";
  CHECK_FALSE(io::FileLock::is_held(path));
  {
    io::FileLock lock(path);
    lock.write("12345");
    lock.write("678");
    CHECK(io::FileLock::is_held(path));
    CHECK(io::read_file(path) == "678");
  }
  CHECK_FALSE(io::FileLock::is_held(path));
  CHECK_THROWS_AS(io::FileLock(folder / "none/lock"), SystemError);
}

TEST_CASE("a lock ends with the process that holds it", "[unit]") {
  test::TempFolder folder;
  const std::string path = folder / "lock";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const io::FileLock lock(path);
    if (::write(ready[1], "x", 1) == 1) ::pause();
    ::_exit(1);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(io::FileLock::is_held(path));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK_FALSE(io::FileLock::is_held(path));
  ::close(ready[0]);
  ::close(ready[1]);
}
