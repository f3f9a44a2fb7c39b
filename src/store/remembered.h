#pragma once

#include <optional>
#include <string>

#include "io/json.h"

namespace engraft::store {

/// Small findings that cost more to make than to read, each a file beside the activation cache (FORMAT.md), found by an
/// equal key and by nothing else. Processes may share the folder; what cannot be written is not remembered.
class Remembered {
 public:
  /// Findings of one `kind` ("int8"), which names their folder. `given` as cache_folder has it.
  Remembered(const std::string& given, const std::string& kind);

  /// What was kept for `key`; none where nothing was, or what lies there is damaged or of another key.
  std::optional<io::Json> find(const io::Json& key) const;
  void keep(const io::Json& key, const io::Json& finding) const;

 private:
  std::string file_of(const io::Json& key) const;
  std::string folder_;
};

}  // namespace engraft::store
