#include "report/settings.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/json.h"

namespace engraft::report {

namespace {

constexpr size_t kNamed = 3;  // pictures in an error

/// a … z, aa, ab, …
std::string letters(size_t index) {
  std::string name(1, static_cast<char>('a' + index % 26));
  return index < 26 ? name : letters(index / 26 - 1) + name;
}

/// Whether none of the setting's runs has the seed of `run`: the same one twice is no repetition.
bool has_other_seeds(const Setting& setting, const Predictions& run) {
  return std::none_of(setting.runs.begin(), setting.runs.end(),
                      [&](const Predictions* other) { return other->seed == run.seed; });
}

/// Those of `a` that `b` has not; both sorted.
std::vector<std::string> missing_from(const std::vector<std::string>& b, const std::vector<std::string>& a) {
  std::vector<std::string> missing;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(missing));
  return missing;
}

std::string named(const std::vector<std::string>& pictures) {
  if (pictures.empty()) return "none";
  std::vector<std::string> some(pictures.begin(),
                                pictures.begin() + static_cast<std::ptrdiff_t>(std::min(pictures.size(), kNamed)));
  return text::cat(pictures.size(), " (", text::join(some, ", "), pictures.size() > kNamed ? ", …)" : ")");
}

}  // namespace

std::vector<Setting> settings_of(const std::vector<Predictions>& runs, bool each_seed) {
  std::vector<Setting> settings;
  std::map<std::string, size_t> known;
  for (const Predictions& run : runs) {
    const bool may_repeat = !each_seed && !run.setting.empty();
    const auto found = may_repeat ? known.find(run.setting) : known.end();
    const bool is_other_seed = found != known.end() && has_other_seeds(settings[found->second], run);
    if (is_other_seed) {
      settings[found->second].runs.push_back(&run);
      continue;
    }
    if (may_repeat) known[run.setting] = settings.size();
    settings.push_back({letters(settings.size()), {&run}});
  }
  return settings;
}

void require_same_data(const Predictions& first, const Predictions& other) {
  if (first.metric != other.metric) {
    throw DataError(text::cat(other.path, ": is judged by ", other.metric, ", and ", first.path, " by ", first.metric,
                              "; they cannot be compared"));
  }
  if (first.pictures != other.pictures) {
    const auto more = missing_from(first.pictures, other.pictures),
               fewer = missing_from(other.pictures, first.pictures);
    throw DataError(text::cat(other.path, ": was validated on other pictures than ", first.path, ": has ", named(more),
                              " that are not there, lacks ", named(fewer),
                              "; differences are told by the same pictures alone"));
  }
  for (size_t i = 0; i < first.truths.size(); ++i) {
    if (first.truths[i] == other.truths[i]) continue;
    throw DataError(text::cat(other.path, ": ", other.pictures[i], " is labelled '", other.truths[i], "', and in ",
                              first.path, " '", first.truths[i], "'"));
  }
  if (!first.pictures_digest.empty() && !other.pictures_digest.empty() &&
      first.pictures_digest != other.pictures_digest) {
    throw DataError(text::cat(other.path, ": its validation pictures have the names of those of ", first.path,
                              " and other contents (pictures_digest ", other.pictures_digest, " and ",
                              first.pictures_digest, ")"));
  }
}

std::vector<io::Json> differing_options(const std::vector<Setting>& settings) {
  std::vector<io::Json> all, differing(settings.size(), io::Json::object());
  for (const Setting& setting : settings) {
    const Predictions& first = *setting.runs.front();
    if (first.setting.empty()) return differing;
    all.push_back(io::parse_json(first.setting, first.path));
    all.back().erase("resolved");
    if (setting.runs.size() == 1 && first.seed) all.back()["seed"] = *first.seed;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    for (const auto& [name, value] : all[i].items()) {
      const bool is_shared = std::all_of(all.begin(), all.end(), [&, own = value, key = name](const io::Json& other) {
        return other.value(key, io::Json()) == own;
      });
      if (!is_shared) differing[i][name] = value;
    }
  }
  return differing;
}

}  // namespace engraft::report
