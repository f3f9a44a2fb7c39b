#include "options/schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::options {

namespace {

std::string canonical(const std::string& name) { return text::replace_all(name, "-", "_"); }

/// A list of names, any of which will do, as one text: "mixed_7|Mixed_6e". Anything else stays what it is.
io::Json alternatives_text(const io::Json& list) {
  std::vector<std::string> names;
  for (const io::Json& item : list) {
    if (!item.is_string()) return list;
    names.push_back(item.get<std::string>());
  }
  return text::join(names, "|");
}

/// A table as the key=value text that apply_assignments reads.
std::string assignments_text(const io::Json& table) {
  std::vector<std::string> parts;
  for (const auto& [key, given] : table.items()) {
    const io::Json value = given.is_array() ? alternatives_text(given) : given;
    const std::string text = value.is_string()         ? value.get<std::string>()
                             : value.is_number_float() ? text::shortest(value.get<double>())
                                                       : value.dump();
    parts.push_back(key + "=" + text);
  }
  return text::join(parts, ",");
}

std::string number_text(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? std::to_string(static_cast<int64_t>(value))
                                                              : text::shortest(value);
}

}  // namespace

namespace detail {
void to_json(io::Json& j, bool v) { j = v; }
void to_json(io::Json& j, int64_t v) { j = v; }
void to_json(io::Json& j, double v) { j = v; }
void to_json(io::Json& j, const std::string& v) { j = v; }
void to_json(io::Json& j, const std::array<double, 3>& v) { j = v; }
void to_json(io::Json& j, const std::vector<std::string>& v) { j = v; }
void from_json(const io::Json& j, bool& v) { v = j.get<bool>(); }
void from_json(const io::Json& j, int64_t& v) { v = j.get<int64_t>(); }
void from_json(const io::Json& j, double& v) { v = j.get<double>(); }
void from_json(const io::Json& j, std::string& v) { v = j.get<std::string>(); }
void from_json(const io::Json& j, std::array<double, 3>& v) { v = j.get<std::array<double, 3>>(); }
void from_json(const io::Json& j, std::vector<std::string>& v) { v = j.get<std::vector<std::string>>(); }
void set_null(io::Json& j) { j = nullptr; }
}  // namespace detail

Field& Field::value(std::string name) {
  value_name_ = std::move(name);
  return *this;
}
Field& Field::above(double low) {
  low_ = low;
  low_is_open_ = true;
  return *this;
}
Field& Field::at_least(double low) {
  low_ = low;
  low_is_open_ = false;
  return *this;
}
Field& Field::below(double high) {
  high_ = high;
  high_is_open_ = true;
  return *this;
}
Field& Field::at_most(double high) {
  high_ = high;
  high_is_open_ = false;
  return *this;
}
Field& Field::one_of(std::vector<std::string> words) {
  choices_ = std::move(words);
  return *this;
}
Field& Field::required() {
  required_ = true;
  return *this;
}
Field& Field::positional() {
  positional_ = true;
  return *this;
}
Field& Field::not_recorded() {
  recorded_ = false;
  return *this;
}

io::Json Field::get() const {
  io::Json value;
  get_(value);
  return value;
}

std::string Field::flag() const { return text::replace_all(name_, "_", "-"); }

std::string Field::range_text() const {
  if (!choices_.empty()) return "one of " + text::join(choices_, ", ");
  std::string out;
  if (low_) out = std::string(low_is_open_ ? "above " : "at least ") + number_text(*low_);
  if (high_)
    out += std::string(out.empty() ? "" : ", ") + (high_is_open_ ? "below " : "at most ") + number_text(*high_);
  return out;
}

std::string Field::kind_text() const {
  if (tuple_size_ > 0) return "three numbers";
  switch (kind_) {
    case Kind::kBool:
      return "true or false";
    case Kind::kInt:
      return "a whole number";
    case Kind::kDouble:
      return "a number";
    case Kind::kText:
      return "a text";
  }
  return "";
}

void Field::check(const io::Json& value, const std::string& where) const {
  if (value.is_array()) {
    for (const io::Json& item : value) check(item, where);
    return;
  }
  const auto refuse = [&](const std::string& found) {
    throw UsageError(where + ": must be " + range_text() + ", not " + found);
  };
  if (!choices_.empty()) {
    const std::string word = value.get<std::string>();
    if (std::find(choices_.begin(), choices_.end(), word) == choices_.end()) refuse("'" + word + "'");
  }
  if (!value.is_number()) return;
  const double number = value.get<double>();
  if (!std::isfinite(number)) throw UsageError(where + ": must be a finite number, not " + text::shortest(number));
  if (low_ || high_) {
    const bool too_low = low_ && (low_is_open_ ? !(number > *low_) : !(number >= *low_));
    const bool too_high = high_ && (high_is_open_ ? !(number < *high_) : !(number <= *high_));
    if (too_low || too_high) refuse(number_text(number));
  }
}

void Field::set(const io::Json& given, const std::string& where) {
  const std::string named = where + ": " + name_;
  io::Json value = given;
  if (kind_ == Kind::kText && !is_repeatable_ && value.is_array()) value = alternatives_text(value);
  if (is_repeatable_ && value.is_string()) value = io::Json::array({value});
  if (is_repeatable_ && value.is_array()) {
    for (io::Json& item : value) {
      if (item.is_object()) item = assignments_text(item);
    }
  }
  if (kind_ == Kind::kDouble && tuple_size_ > 0 && value.is_number()) value = io::Json::array({value, value, value});
  const auto right_kind = [&](const io::Json& item) {
    switch (kind_) {
      case Kind::kBool:
        return item.is_boolean();
      case Kind::kInt:
        return item.is_number_integer();
      case Kind::kDouble:
        return item.is_number();
      case Kind::kText:
        return item.is_string();
    }
    return false;
  };
  const bool is_list = is_repeatable_ || tuple_size_ > 0;
  const bool fits = is_list ? value.is_array() && (tuple_size_ == 0 || value.size() == tuple_size_) &&
                                  std::all_of(value.begin(), value.end(), right_kind)
                            : right_kind(value);
  if (!fits) {
    throw UsageError(named + ": must be " + (is_repeatable_ ? "a list of texts" : kind_text()) + ", not " +
                     io::json_line(given));
  }
  check(value, named);
  assign_(value);
  was_set_ = true;
}

io::Json Field::parse(const std::string& typed, const std::string& where) const {
  const auto refuse = [&]() -> io::Json {
    const std::string wanted = choices_.empty() ? kind_text() : range_text();
    throw UsageError(where + ": must be " + wanted + ", not '" + typed + "'");
  };
  switch (kind_) {
    case Kind::kBool: {
      const std::string word = text::lower(typed);
      if (word == "true" || word == "1" || word == "yes" || word == "on") return true;
      if (word == "false" || word == "0" || word == "no" || word == "off") return false;
      return refuse();
    }
    case Kind::kInt: {
      const auto number = text::to_int(typed);
      return number ? io::Json(*number) : refuse();
    }
    case Kind::kDouble: {
      const auto number = text::to_double(typed);
      return number && std::isfinite(*number) ? io::Json(*number) : refuse();
    }
    case Kind::kText:
      return typed;
  }
  return refuse();
}

void Field::set_text(const std::vector<std::string>& texts, const std::string& where) {
  io::Json value;
  if (is_repeatable_) {
    value = io::Json::array();
    for (const std::string& item : texts) value.push_back(item);
  } else if (tuple_size_ > 0) {
    const std::vector<std::string> parts = text::split(texts.back(), ',');
    if (parts.size() == 1) {
      value = parse(parts[0], where);
    } else {
      value = io::Json::array();
      for (const std::string& part : parts) value.push_back(parse(text::trim(part), where));
    }
  } else {
    value = parse(texts.back(), where);
  }
  if (value.is_array() && tuple_size_ > 0 && value.size() != tuple_size_) {
    throw UsageError(where + ": must be three numbers, not '" + texts.back() + "'");
  }
  if (tuple_size_ > 0 && value.is_number()) value = io::Json::array({value, value, value});
  check(value, where);
  assign_(value);
  was_set_ = true;
}

Field* Schema::find(const std::string& name) {
  const std::string wanted = canonical(name);
  for (const auto& field : fields_) {
    if (field->name() == wanted) return field.get();
  }
  return nullptr;
}

std::vector<std::string> Schema::names() const {
  std::vector<std::string> out;
  for (const auto& field : fields_) out.push_back(field->name());
  return out;
}

Field& Schema::at(const std::string& name, const std::string& where) {
  if (Field* field = find(name)) return *field;
  const auto near = text::closest(canonical(name), names());
  throw UsageError(where + ": unknown option '" + name + "'" +
                   (near ? "; did you mean '" + *near + "'?" : "; known: " + text::join(names(), " ")));
}

void Schema::apply(const io::Json& object, const std::string& where) {
  if (!object.is_object()) throw UsageError(where + ": expected a table of options");
  std::map<std::string, std::string> spelt;
  for (const auto& [key, value] : object.items()) {
    const auto [before, is_new] = spelt.emplace(canonical(key), key);
    if (!is_new) throw UsageError(where + ": '" + before->second + "' and '" + key + "' are the same option; keep one");
    at(key, where).set(value, where);
  }
}

void Schema::apply_assignments(const std::string& assignments, const std::string& where) {
  std::vector<std::string> seen;
  for (const std::string& part : text::split(assignments, ',')) {
    const size_t equals = part.find('=');
    const std::string key = text::trim(part.substr(0, equals));
    if (equals == std::string::npos || key.empty()) {
      throw UsageError(where + ": expected key=value,key=value, found '" + part + "' in '" + assignments + "'");
    }
    if (std::find(seen.begin(), seen.end(), canonical(key)) != seen.end()) {
      throw UsageError(where + ": " + canonical(key) + " is given twice in '" + assignments + "'");
    }
    seen.push_back(canonical(key));
    at(key, where).set_text({text::trim(part.substr(equals + 1))}, where + ": " + canonical(key));
  }
}

io::Json Schema::record() const {
  io::Json out = io::Json::object();
  for (const auto& field : fields_) {
    if (!field->is_recorded()) continue;
    io::Json value = field->get();
    if (!value.is_null()) out[field->name()] = std::move(value);
  }
  return out;
}

void Schema::check_required(const std::string& where) const {
  for (const auto& field : fields_) {
    if (!field->is_required()) continue;
    // Without a `where` these are flags, else keys of a text or table.
    const std::string shown = !where.empty()           ? field->name() + "=" + field->value_name()
                              : field->is_positional() ? field->value_name()
                                                       : "--" + field->flag() + " " + field->value_name();
    if (!field->was_set()) throw UsageError(where + ": " + shown + " is missing (" + field->help() + ")");
    if (field->get() == io::Json("")) throw UsageError(where + ": " + shown + " is empty (" + field->help() + ")");
  }
}

}  // namespace engraft::options
