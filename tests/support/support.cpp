#include "support/support.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace engraft::test {

namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "engraft-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string shared_folder() {
  const char* given = std::getenv("ENGRAFT_SHARED");
  const fs::path folder = given != nullptr ? fs::path(given) : fs::path(ENGRAFT_SOURCE_DIR) / ".." / "shared";
  if (fs::is_directory(folder / "weights") && fs::is_directory(folder / "data")) return fs::canonical(folder).string();
  if (given != nullptr)
    throw std::runtime_error("ENGRAFT_SHARED is set, but " + folder.string() + " has no weights/ and data/");
  std::cout << "SKIPPED: no shared weights and pictures (set ENGRAFT_SHARED)" << std::endl;
  return "";
}

void put_file(const std::string& path, const std::string& bytes) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace engraft::test
