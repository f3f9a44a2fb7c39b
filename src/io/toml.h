#pragma once

#include <string>
#include <string_view>

#include "io/json.h"

namespace engraft::io {

/// A TOML 1.0 document as a JSON value: tables as objects, arrays as arrays, dates as text.
/// Throws UsageError "WHERE:LINE: what is wrong".
Json parse_toml(std::string_view text, const std::string& where);
/// The same of a file; throws DataError when it cannot be read.
Json read_toml(const std::string& path);
/// A JSON object as TOML. Nulls are left out (TOML has none). Keys keep their order: plain values first, then tables.
std::string to_toml(const Json& object);

}  // namespace engraft::io
