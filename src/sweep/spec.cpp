#include "sweep/spec.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "io/digest.h"
#include "io/file_facts.h"
#include "io/toml.h"

namespace engraft::sweep {

namespace {

constexpr double kMostTrials = 100000;
constexpr double kMostWhole = 9007199254740992;  // 2^53: what a double tells from its neighbours
constexpr const char *kDraws = "draws", *kSeed = "seed_of_draws";

[[noreturn]] void refuse(const std::string& where, const std::string& what) { throw UsageError(where + ": " + what); }

std::string underscored(const std::string& name) { return text::replace_all(name, "-", "_"); }

/// `object` with underscores in its keys.
io::Json with_underscores(const io::Json& object, const std::string& where) {
  io::Json out = io::Json::object();
  for (const auto& [key, value] : object.items()) {
    if (out.contains(underscored(key))) refuse(where, key + " stands there twice, in two spellings");
    out[underscored(key)] = value;
  }
  return out;
}

const io::Json& table(const io::Json& document, const char* name, const std::string& where) {
  static const io::Json kNone = io::Json::object();
  if (!document.contains(name)) return kNone;
  if (!document.at(name).is_object()) refuse(where, text::cat("[", name, "]: expected a table"));
  return document.at(name);
}

int64_t whole(const io::Json& table, const char* key, int64_t least, int64_t otherwise, const std::string& where) {
  if (!table.contains(key)) return otherwise;
  const io::Json& value = table.at(key);
  if (!value.is_number_integer() || value.get<int64_t>() < least)
    refuse(where, text::cat(key, ": expected a whole number of at least ", least, ", found ", value.dump()));
  return value.get<int64_t>();
}

/// To six significant digits, so that what is drawn can be read and typed.
double rounded(double value) {
  if (value == 0) return 0;
  const double step = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 5);
  const std::optional<double> parsed =
      text::to_double(text::cat(std::round(value / step), "e", std::llround(std::log10(step))));
  return parsed.value_or(value);
}

struct Bounds {
  double low, high;
};

Bounds bounds_of(const io::Json& range, bool is_log, const std::string& where) {
  const bool is_pair = range.is_array() && range.size() == 2 && range[0].is_number() && range[1].is_number();
  const Bounds bounds = is_pair ? Bounds{range[0].get<double>(), range[1].get<double>()} : Bounds{1, 0};
  if (!(bounds.low < bounds.high) || !std::isfinite(bounds.high - bounds.low) || (is_log && !(bounds.low > 0)))
    refuse(where,
           text::cat("expected [low, high]", is_log ? " above 0" : "", ", low below high, found ", range.dump()));
  return bounds;
}

io::Json draw(const io::Json& rule, RandomStream& stream, const std::string& where) {
  const bool is_one = rule.is_object() && rule.size() == 1;
  const std::string kind = is_one ? rule.begin().key() : "";
  if (kind == "choice") {
    const io::Json& values = rule.at(kind);
    if (!values.is_array() || values.empty()) refuse(where, "choice: expected a list of values");
    return values[stream.below(values.size())];
  }
  if (kind == "uniform") {
    const Bounds b = bounds_of(rule.at(kind), false, where);
    return rounded(stream.uniform(b.low, b.high));
  }
  if (kind == "log_uniform" || kind == "log-uniform") {
    const Bounds b = bounds_of(rule.at(kind), true, where);
    return rounded(std::exp(stream.uniform(std::log(b.low), std::log(b.high))));
  }
  if (kind == "int_uniform" || kind == "int-uniform") {
    const Bounds b = bounds_of(rule.at(kind), false, where);
    if (b.low != std::floor(b.low) || b.high != std::floor(b.high) || std::max(-b.low, b.high) > kMostWhole)
      refuse(where, "int_uniform: expected whole numbers up to 2^53, found " + rule.at(kind).dump());
    return static_cast<int64_t>(b.low) + static_cast<int64_t>(stream.below(static_cast<uint64_t>(b.high - b.low) + 1));
  }
  refuse(where,
         "expected one of { uniform = [low, high] }, { log_uniform = … }, { int_uniform = … }, "
         "{ choice = [values] }, found " +
             rule.dump());
}

uint64_t key_of(const std::string& name) {
  const io::Digest128 digest = io::digest_of(name);
  uint64_t key = 0;
  for (size_t i = 0; i < sizeof key; ++i) key = key << 8U | digest[i];
  return key;
}

/// Each of the draws.
std::vector<io::Json> drawn(const io::Json& random, const std::string& where) {
  if (random.empty()) return {io::Json::object()};
  const int64_t count = whole(random, kDraws, 1, 0, where + ": [random]");
  if (static_cast<double>(count) > kMostTrials) refuse(where, text::cat("[random]: at most ", kMostTrials, " draws"));
  if (count == 0) refuse(where, "[random]: draws = N is missing, how often to draw");
  const auto seed = static_cast<uint64_t>(whole(random, kSeed, 0, 42, where + ": [random]"));
  std::vector<io::Json> out;
  for (int64_t i = 0; i < count; ++i) {
    io::Json setting = io::Json::object();
    for (const auto& [name, rule] : random.items()) {
      if (name == kDraws || name == kSeed) continue;
      RandomStream stream(seed, {key_of(name), static_cast<uint64_t>(i)});
      setting[name] = draw(rule, stream, where + ": [random] " + name);
    }
    out.push_back(std::move(setting));
  }
  return out;
}

std::vector<io::Json> combinations(const io::Json& grid, const std::string& where) {
  std::vector<io::Json> out = {io::Json::object()};
  for (const auto& [name, values] : grid.items()) {
    if (!values.is_array() || values.empty())
      refuse(where, "[grid] " + name + ": expected a list of values, found " + values.dump());
    if (static_cast<double>(out.size()) * static_cast<double>(values.size()) > kMostTrials)
      refuse(where, text::cat("[grid]: more than ", kMostTrials, " combinations"));
    std::vector<io::Json> longer;
    for (const io::Json& before : out) {
      for (const io::Json& value : values) {
        longer.push_back(before);
        longer.back()[name] = value;
      }
    }
    out = std::move(longer);
  }
  return out;
}

std::vector<io::Json> listed(const io::Json& document, const std::string& where) {
  if (!document.contains("trial")) return {io::Json::object()};
  const io::Json& list = document.at("trial");
  if (!list.is_array()) refuse(where, "[[trial]]: expected tables, each [[trial]]");
  std::vector<io::Json> out;
  for (const io::Json& one : list) {
    if (!one.is_object()) refuse(where, "[[trial]]: expected tables, found " + one.dump());
    out.push_back(with_underscores(one, where));
  }
  return out;
}

void add_names(const io::Json& object, const char* in, const std::string& where, std::vector<std::string>& names,
               std::vector<std::string>& places) {
  for (const auto& [name, unused] : object.items()) {
    if (name == kDraws || name == kSeed) continue;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      names.push_back(name);
      places.emplace_back(in);
    } else if (places[static_cast<size_t>(found - names.begin())] != in) {
      refuse(where, name + " stands in " + places[static_cast<size_t>(found - names.begin())] + " and in " + in +
                        "; keep one of them");
    }
  }
}

}  // namespace

Spec parse_spec(std::string_view toml, const std::string& where) {
  const io::Json document = io::parse_toml(toml, where);
  for (const auto& [name, unused] : document.items()) {
    if (name != "base" && name != "grid" && name != "random" && name != "trial")
      refuse(where, "unknown table '" + name + "'; a sweep has [base], [grid], [random] and [[trial]]");
  }
  Spec spec;
  spec.base = with_underscores(table(document, "base", where), where);
  const io::Json grid = with_underscores(table(document, "grid", where), where);
  const io::Json random = with_underscores(table(document, "random", where), where);
  const std::vector<io::Json> single = listed(document, where);
  std::vector<std::string> places;
  for (const io::Json& one : single) add_names(one, "[[trial]]", where, spec.varied, places);
  add_names(random, "[random]", where, spec.varied, places);
  add_names(grid, "[grid]", where, spec.varied, places);

  const std::vector<io::Json> draws = drawn(random, where), combined = combinations(grid, where);
  const double count =
      static_cast<double>(single.size()) * static_cast<double>(draws.size()) * static_cast<double>(combined.size());
  if (count > kMostTrials) refuse(where, text::cat(count, " trials; at most ", kMostTrials));
  for (const io::Json& one : single) {
    for (const io::Json& of_draw : draws) {
      for (const io::Json& of_grid : combined) {
        io::Json trial = one;
        trial.update(of_draw);
        trial.update(of_grid);
        spec.trials.push_back(std::move(trial));
      }
    }
  }
  return spec;
}

}  // namespace engraft::sweep
