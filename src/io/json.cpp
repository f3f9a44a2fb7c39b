#include "io/json.h"

#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/atomic_file.h"

namespace engraft::io {

Json parse_json(std::string_view text, const std::string& where) {
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(where + ": not JSON: " + error.what());
  }
}

Json read_json(const std::string& path) { return parse_json(read_file(path), path); }

std::string json_line(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void write_json(const std::string& path, const Json& value) {
  write_file(path, value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace engraft::io
