#include "store/folder_lock.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/errors.h"
#include "store/out_folder.h"
#include "support/support.h"

using namespace engraft;

namespace fs = std::filesystem;

TEST_CASE("one holds a folder, the next is refused, and the lock leaves nothing behind", "[unit]") {
  test::TempFolder folder;
  const std::string run = folder / "a/run";
  {
    const store::FolderLock held(run);
    CHECK(fs::exists(run + "/run.lock"));
    CHECK_THROWS_WITH(store::FolderLock(run), run +
                                                  ": another process writes it; wait until it ends, or "
                                                  "give --out another");
    CHECK_THROWS_AS(store::FolderLock(run), UsageError);
    const store::FolderLock other(folder / "other");
  }
  CHECK(fs::is_empty(run));
  const store::FolderLock again(run);
}

TEST_CASE("a lock that a killed process left holds nobody up", "[unit]") {
  test::TempFolder folder;
  test::put_file(folder / "run/run.lock", "");
  CHECK_NOTHROW(store::require_free_folder(folder / "run"));
  CHECK_NOTHROW(store::FolderLock(folder / "run"));
}
