#include "io/toml.h"

#include <nlohmann/json.hpp>
#define TOML_EXCEPTIONS 1
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"

namespace engraft::io {

namespace {

Json from_node(const toml::node& node) {
  if (const toml::table* table = node.as_table()) {
    // toml++ keeps keys sorted; the order of the file is that of their source positions.
    std::vector<std::pair<toml::source_position, std::string>> keys;
    for (const auto& [key, value] : *table) keys.emplace_back(key.source().begin, std::string(key.str()));
    std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
      return std::tie(a.first.line, a.first.column) < std::tie(b.first.line, b.first.column);
    });
    Json object = Json::object();
    for (const auto& [position, key] : keys) object[key] = from_node(*table->get(key));
    return object;
  }
  if (const toml::array* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& item : *array) list.push_back(from_node(item));
    return list;
  }
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_boolean()) return value->get();
  std::ostringstream text;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_date<decltype(value)> || toml::is_time<decltype(value)> ||
                  toml::is_date_time<decltype(value)>) {
      text << value.get();
    }
  });
  return text.str();
}

std::string quoted(const std::string& text) {
  // JSON's escapes are a subset of those of TOML's basic strings.
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && key.find_first_not_of(
                                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-") == std::string::npos;
  return bare ? key : quoted(key);
}

std::string value_text(const Json& value) {
  if (value.is_string()) return quoted(value.get<std::string>());
  if (value.is_number_float()) {
    std::string text = text::shortest(value.get<double>());
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
  }
  if (value.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : value) items.push_back(value_text(item));
    return "[" + text::join(items, ", ") + "]";
  }
  if (value.is_object()) {
    std::vector<std::string> items;
    for (const auto& [key, item] : value.items()) {
      if (!item.is_null()) items.push_back(key_text(key) + " = " + value_text(item));
    }
    return "{" + text::join(items, ", ") + "}";
  }
  return value.dump();
}

bool is_list_of_tables(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_object(); });
}

void write_table(const Json& table, const std::string& path, std::string& out) {
  for (const auto& [key, value] : table.items()) {
    if (value.is_null() || value.is_object() || is_list_of_tables(value)) continue;
    out += key_text(key) + " = " + value_text(value) + "\n";
  }
  for (const auto& [key, value] : table.items()) {
    const std::string name = path.empty() ? key_text(key) : path + "." + key_text(key);
    if (value.is_object()) {
      out += "\n[" + name + "]\n";
      write_table(value, name, out);
    } else if (is_list_of_tables(value)) {
      for (const Json& item : value) {
        out += "\n[[" + name + "]]\n";
        write_table(item, name, out);
      }
    }
  }
}

}  // namespace

Json parse_toml(std::string_view text, const std::string& where) {
  try {
    return from_node(toml::parse(text));
  } catch (const toml::parse_error& error) {
    throw UsageError(text::cat(where, ":", error.source().begin.line, ": not TOML: ", error.description()));
  }
}

Json read_toml(const std::string& path) { return parse_toml(read_file(path), path); }

std::string to_toml(const Json& object) {
  std::string out;
  write_table(object, "", out);
  return out;
}

}  // namespace engraft::io
