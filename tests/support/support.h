#pragma once

#include <string>

namespace engraft::test {

/// A folder of its own for one test, removed at the end.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  /// PATH/name.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The folder of real weights and pictures: ENGRAFT_SHARED, or ../shared beside the checkout. Empty when it is not
/// there, after printing the SKIPPED line that ctest shows; where ENGRAFT_SHARED is set and wrong, throws instead.
std::string shared_folder();

/// Writes `bytes` to PATH, making its folders.
void put_file(const std::string& path, const std::string& bytes);

}  // namespace engraft::test

/// Leaves the test case when the shared folder is missing.
#define ENGRAFT_NEED_SHARED(name)                            \
  const std::string name = ::engraft::test::shared_folder(); \
  if (name.empty()) return
