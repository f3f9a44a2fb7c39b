#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace engraft::data {

/// What stands in a folder, named relative to the walker's root with '/' between folders.
struct FolderContents {
  /// Names of the direct sub-folders, sorted as plain bytes.
  std::vector<std::string> folders;
  /// Pictures by their extension, in no particular order.
  std::vector<std::string> pictures;
  /// How many entries are neither folders nor files.
  int64_t special = 0;
};

/// Reads folders by the rules of list_data about hidden names, links and files that are not pictures.
class Walker {
 public:
  explicit Walker(std::string root) : root_(std::move(root)) {}

  /// The folder `relative` ("" = the root) itself, to decide by; leaves no notes. Throws DataError "cannot read PATH:
  /// reason".
  FolderContents level(const std::string& relative) const;
  /// The folder and all below it; `folders` are the direct ones only. Throws the same.
  FolderContents tree(const std::string& relative);
  /// A line each about the files and links that tree() left out so far.
  std::vector<std::string> notes() const;

 private:
  using FolderId = std::pair<uint64_t, uint64_t>;  // device, inode
  /// Also gives the files that are not pictures.
  FolderContents read(const std::string& relative, std::vector<std::string>& others) const;
  /// All folders that really hold `relative`, up to the root of the file system: a link to one of them would bring in
  /// all there is.
  std::vector<FolderId> folders_above(const std::string& relative) const;
  FolderContents descend(const std::string& relative, std::vector<FolderId>& above);
  void leave_out(const std::string& relative);
  std::string absolute(const std::string& relative) const { return relative.empty() ? root_ : root_ + "/" + relative; }

  std::string root_;
  std::map<std::string, int64_t> left_out_;  // count by extension
  std::string first_left_out_;
  int64_t special_ = 0;
  std::vector<std::string> loops_;
};

/// "a/b", or "b" where `folder` is empty.
std::string path_in(const std::string& folder, const std::string& name);

}  // namespace engraft::data
