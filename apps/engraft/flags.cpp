#include "flags.h"

#define CXXOPTS_NO_REGEX 1
#define CXXOPTS_VECTOR_DELIMITER '\0'
#include <cxxopts.hpp>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/toml.h"
#include "recipes.h"

namespace engraft::app {

namespace {

/// --learning_rate=x -> --learning-rate=x; values and positional arguments stay as they are.
std::string with_dashes(const std::string& argument) {
  if (!text::starts_with(argument, "--")) return argument;
  const size_t equals = argument.find('=');
  const std::string name = argument.substr(0, equals);
  return text::replace_all(name, "_", "-") + (equals == std::string::npos ? "" : argument.substr(equals));
}

/// A name with a slash or ending in .toml is a file, another a recipe.
io::Json read_config(const std::string& name) {
  if (name.find('/') != std::string::npos || text::ends_with(name, ".toml")) return io::read_toml(name);
  std::vector<std::string> names;
  for (const Recipe& recipe : recipes()) {
    if (recipe.name == name) return io::parse_toml(recipe.toml, "recipe " + name);
    names.push_back(recipe.name);
  }
  throw UsageError("--config " + name + ": no recipe of this name is built in; there are " + text::join(names, ", ") +
                   "; a file has a slash or ends in .toml (./" + name + ")");
}

void apply_config(options::Schema& schema, const std::string& name) {
  io::Json document = read_config(name);
  document.erase("resolved");  // what a run.toml adds about a run; not options
  if (document.contains("config")) throw UsageError(name + ": config: one file cannot name another");
  schema.apply(document, name);
}

}  // namespace

bool read_flags(options::Schema& schema, const std::vector<std::string>& arguments) {
  cxxopts::Options parser("engraft");
  parser.allow_unrecognised_options();
  auto add = parser.add_options();
  add("h,help", "");
  std::vector<std::string> positional;
  for (const auto& field : schema.fields()) {
    auto value = cxxopts::value<std::vector<std::string>>();
    if (field->is_switch()) value->implicit_value("true");
    add(field->flag(), "", value);
    if (field->is_positional()) positional.push_back(field->flag());
  }
  parser.parse_positional(positional);

  std::vector<std::string> normal = {"engraft"};
  bool only_positional = false;
  for (const std::string& argument : arguments) {
    only_positional = only_positional || argument == "--";
    normal.push_back(only_positional ? argument : with_dashes(argument));
  }
  std::vector<const char*> argv;
  for (const std::string& argument : normal) argv.push_back(argument.c_str());
  try {
    const cxxopts::ParseResult parsed = parser.parse(static_cast<int>(argv.size()), argv.data());
    if (parsed.count("help") > 0) return true;
    for (const std::string& stray : parsed.unmatched()) {
      if (text::starts_with(stray, "--")) schema.at(stray.substr(2, stray.find('=') - 2), stray);
      throw UsageError(text::starts_with(stray, "-") ? "unknown option '" + stray + "'"
                                                     : "unexpected argument '" + stray + "'");
    }
    if (parsed.count("config") > 0) apply_config(schema, parsed["config"].as<std::vector<std::string>>().back());
    for (const auto& field : schema.fields()) {
      if (parsed.count(field->flag()) == 0) continue;
      const auto& texts = parsed[field->flag()].as<std::vector<std::string>>();
      if (field->is_positional() && !field->is_repeatable() && texts.size() > 1) {
        throw UsageError("unexpected argument '" + texts[1] + "'");
      }
      field->set_text(texts, field->is_positional() ? field->value_name() : "--" + field->flag());
    }
  } catch (const cxxopts::exceptions::exception& error) {
    throw UsageError(error.what());
  }
  schema.check_required("");
  return false;
}

}  // namespace engraft::app
