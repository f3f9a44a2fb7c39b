#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace engraft::io {

/// A JSON value whose objects keep the order in which keys were set. The type is only forwarded here;
/// .cpp files that look inside include <nlohmann/json.hpp>.
using Json = nlohmann::ordered_json;

/// Throws DataError "WHERE: what is wrong" for text that is not JSON.
Json parse_json(std::string_view text, const std::string& where);
/// Throws DataError for a file that cannot be read or is not JSON.
Json read_json(const std::string& path);
/// On one line. Bytes that are not UTF-8 become U+FFFD.
std::string json_line(const Json& value);
/// Indented by two, with a final newline; written by AtomicFile.
void write_json(const std::string& path, const Json& value);

}  // namespace engraft::io
