#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "options/schema.h"

namespace engraft::options {

namespace {

constexpr size_t kWidth = 100;
constexpr size_t kHelpColumn = 30;

std::string default_text(const Field& field) {
  const io::Json value = field.get();
  if (value.is_null() || field.is_switch() || field.is_required()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return text::shortest(value.get<double>());
  if (value.is_array()) {
    std::vector<std::string> items;
    for (const io::Json& item : value) items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    return text::join(items, ",");
  }
  return value.dump();
}

/// Wraps `words` into lines that start at kHelpColumn; the first line follows what stands there already.
std::string wrapped(const std::string& sentence) {
  std::string out;
  size_t column = kHelpColumn;
  for (const std::string& word : text::split(sentence, ' ')) {
    if (column > kHelpColumn && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(kHelpColumn, ' ');
      column = kHelpColumn;
    }
    if (column > kHelpColumn) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string field_text(const Field& field) {
  std::string left = field.is_positional() ? "  " + field.value_name() : "  --" + field.flag();
  if (!field.is_positional() && !field.is_switch()) left += " " + field.value_name();
  std::string right = field.help();
  std::vector<std::string> extras;
  if (!field.range_text().empty()) extras.push_back(field.range_text());
  if (field.is_required()) extras.emplace_back("required");
  if (field.is_repeatable() && !field.is_positional()) extras.emplace_back("may be given several times");
  const std::string standard = default_text(field);
  if (!standard.empty()) extras.push_back("default " + standard);
  if (!extras.empty()) right += " (" + text::join(extras, "; ") + ")";
  if (left.size() + 2 > kHelpColumn) return left + "\n" + std::string(kHelpColumn, ' ') + wrapped(right) + "\n";
  return left + std::string(kHelpColumn - left.size(), ' ') + wrapped(right) + "\n";
}

}  // namespace

std::string help_text(const std::string& command, const std::string& summary, const Schema& schema,
                      const std::string& examples) {
  std::string usage = "usage: engraft " + command;
  for (const auto& field : schema.fields()) {
    if (field->is_required() && !field->is_positional()) usage += " --" + field->flag() + " " + field->value_name();
  }
  usage += " [options]";
  for (const auto& field : schema.fields()) {
    if (field->is_positional()) usage += " " + field->value_name() + (field->is_repeatable() ? "…" : "");
  }
  std::string out = usage + "\n\n" + summary + "\n";
  std::vector<std::string> groups;
  for (const auto& field : schema.fields()) {
    if (std::find(groups.begin(), groups.end(), field->group()) == groups.end()) groups.push_back(field->group());
  }
  for (const std::string& group : groups) {
    out += "\n" + (group.empty() ? std::string("Options") : group) + "\n";
    for (const auto& field : schema.fields()) {
      if (field->group() == group) out += field_text(*field);
    }
  }
  if (!examples.empty()) out += "\nExamples\n" + examples;
  return out;
}

}  // namespace engraft::options
