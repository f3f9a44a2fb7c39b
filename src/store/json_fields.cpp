#include "store/json_fields.h"

#include <nlohmann/json.hpp>

#include "base/errors.h"

namespace engraft::store {

JsonFields::JsonFields(const io::Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object.is_object()) throw DataError(where_ + ": is no object");
}

int64_t JsonFields::integer(const char* key) const {
  const io::Json& value = member(key);
  if (!value.is_number_integer() || value.get<int64_t>() < 0) fail(key, "a number of 0 or more");
  return value.get<int64_t>();
}

std::string JsonFields::word(const char* key) const {
  const io::Json& value = member(key);
  if (!value.is_string()) fail(key, "a text");
  return value.get<std::string>();
}

std::vector<int64_t> JsonFields::sizes(const char* key) const {
  std::vector<int64_t> out;
  for (const io::Json& value : list(key)) {
    if (!value.is_number_integer() || value.get<int64_t>() < 1) fail(key, "sizes of 1 or more");
    out.push_back(value.get<int64_t>());
  }
  return out;
}

std::vector<std::string> JsonFields::words(const char* key) const {
  std::vector<std::string> out;
  for (const io::Json& value : list(key)) {
    if (!value.is_string()) fail(key, "texts");
    out.push_back(value.get<std::string>());
  }
  return out;
}

const io::Json& JsonFields::list(const char* key) const {
  const io::Json& value = member(key);
  if (!value.is_array()) fail(key, "a list");
  return value;
}

const io::Json& JsonFields::object(const char* key) const {
  const io::Json& value = member(key);
  if (!value.is_object()) fail(key, "an object");
  return value;
}

const io::Json& JsonFields::member(const char* key) const {
  const auto found = object_.find(key);
  if (found == object_.end()) throw DataError(where_ + ": no '" + key + "'");
  return *found;
}

void JsonFields::fail(const char* key, const char* expected) const {
  throw DataError(where_ + ": '" + key + "' is " + io::json_line(member(key)) + "; expected " + expected);
}

}  // namespace engraft::store
