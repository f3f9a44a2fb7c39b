#include "store/remembered.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "store/activation_cache.h"

namespace engraft::store {

Remembered::Remembered(const std::string& given, const std::string& kind) {
  const std::string root = cache_root(given);
  if (!root.empty()) folder_ = root + "/" + kind;
}

std::string Remembered::file_of(const io::Json& key) const {
  io::Xxh128 digest;
  digest.add(io::json_line(key));
  return folder_ + "/" + digest.hex() + ".json";
}

std::optional<io::Json> Remembered::find(const io::Json& key) const {
  std::error_code unknown;
  if (folder_.empty() || !std::filesystem::is_regular_file(file_of(key), unknown)) return std::nullopt;
  try {
    const io::Json kept = io::read_json(file_of(key));
    if (kept.is_object() && kept.value("key", io::Json()) == key && kept.contains("finding")) return kept["finding"];
  } catch (const DataError&) {
    // as if it were not there; it is written anew
  }
  return std::nullopt;
}

void Remembered::keep(const io::Json& key, const io::Json& finding) const {
  if (folder_.empty()) return;
  try {
    io::make_folders(folder_);
    io::write_json(file_of(key), io::Json{{"key", key}, {"finding", finding}});
  } catch (const SystemError&) {
    // the next run finds out anew
  }
}

}  // namespace engraft::store
