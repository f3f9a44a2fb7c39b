#include "cli/program.h"

#include <sys/wait.h>

#include <cstdlib>
#include <stdexcept>

#include "io/atomic_file.h"

namespace engraft::test {

Outcome engraft_in(const std::string& folder, const std::string& arguments) {
  const std::string command =
      "cd '" + folder + "' && ENGRAFT_CACHE=.cache '" ENGRAFT_PROGRAM "' " + arguments + " >.out 2>.err";
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), io::read_file(folder + "/.out"), io::read_file(folder + "/.err")};
}

void must(const Outcome& outcome) {
  if (outcome.code != 0) throw std::runtime_error("engraft failed: " + outcome.err);
}

const TempFolder& example() {
  static const TempFolder folder;
  static const bool made = [] {
    must(engraft_in(folder.path(), "example --out ex --train 12 --val 6 --quiet"));
    must(engraft_in(folder.path(),
                    "train --backbone ex/tiny.pt --data ex/pictures --out run --epochs 8 --quiet "
                    "--stage unfreeze=mixed_2,epochs=1 --device cpu"));
    return true;
  }();
  (void)made;
  return folder;
}

}  // namespace engraft::test
