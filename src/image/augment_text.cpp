#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/text.h"
#include "image/augment.h"

namespace engraft::image {
namespace {

constexpr const char* kPracticum = "rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip";
constexpr const char* kStandard = "crop,flip";

using Numbers = std::vector<double>;

/// Whether `numbers` is one in [least, most]; then it is put into `field`.
bool take(const Numbers& numbers, double least, double most, double& field) {
  if (numbers.size() != 1 || !(numbers[0] >= least && numbers[0] <= most)) return false;
  field = numbers[0];
  return true;
}

bool take_crop(const Numbers& n, Augmentation& a) {
  if (n.size() != 2 || !(n[0] > 0 && n[0] <= n[1] && n[1] <= 1)) return false;
  a.crop_least = n[0];
  a.crop_most = n[1];
  return true;
}

bool take_jitter(const Numbers& n, Augmentation& a) {
  const auto factor = [](double x) { return x >= 0 && x <= 10; };
  if (n.size() != 4 || !factor(n[0]) || !factor(n[1]) || !factor(n[2]) || !(n[3] >= 0 && n[3] <= 0.5)) return false;
  a.brightness = n[0];
  a.contrast = n[1];
  a.saturation = n[2];
  a.hue = n[3];
  return true;
}

/// A word of the list.
struct Word {
  const char* name;
  /// Its value where it stands alone; empty: it takes none; null: it needs one.
  const char* alone;
  const char* allowed;
  bool (*read)(const Numbers&, Augmentation&);
};

const Word kWords[] = {
    {"rotate", nullptr, "0 to 180 degrees",
     [](const Numbers& n, Augmentation& a) { return take(n, 0, 180, a.rotate_deg); }},
    {"shift", nullptr, "0 to 1 of the side", [](const Numbers& n, Augmentation& a) { return take(n, 0, 1, a.shift); }},
    {"shear", nullptr, "0 to 89 degrees",
     [](const Numbers& n, Augmentation& a) { return take(n, 0, 89, a.shear_deg); }},
    {"zoom", nullptr, "0 to below 1",
     [](const Numbers& n, Augmentation& a) { return take(n, 0, std::nextafter(1.0, 0.0), a.zoom); }},
    {"crop", "0.08:1", "LEAST:MOST, shares of the area, above 0 and at most 1", take_crop},
    {"flip", "0.5", "a probability, 0 to 1", [](const Numbers& n, Augmentation& a) { return take(n, 0, 1, a.flip); }},
    {"trivial", "", "", [](const Numbers&, Augmentation& a) { return a.trivial = true; }},
    {"jitter", "0.4:0.4:0.4:0", "BRIGHTNESS:CONTRAST:SATURATION:HUE, the last 0 to 0.5, the others 0 to 10",
     take_jitter},
    {"erase", "0.25", "a probability, 0 to 1",
     [](const Numbers& n, Augmentation& a) { return take(n, 0, 1, a.erase); }},
};

[[noreturn]] void refuse(const std::string& part, const std::string& why) {
  throw UsageError(text::cat("augment: ", part, ": ", why));
}

const Word& word_named(const std::string& name, const std::string& part) {
  std::vector<std::string> names;
  for (const Word& word : kWords) {
    if (name == word.name) return word;
    names.push_back(word.name);
  }
  names.insert(names.end(), {"practicum", "standard", "none"});
  const std::optional<std::string> meant = text::closest(name, names);
  throw UsageError(text::cat("augment: unknown word '", part, "'", meant ? "; did you mean '" + *meant + "'?" : "",
                             "; words: ", text::join(names, " ")));
}

std::optional<Numbers> numbers_of(const std::string& value) {
  Numbers out;
  for (const std::string& word : text::split(value, ':')) {
    const std::optional<double> number = text::to_double(word);
    if (!number) return std::nullopt;
    out.push_back(*number);
  }
  return out;
}

/// One part of the list: WORD or WORD=VALUE.
void read_part(const std::string& part, std::set<std::string>& seen, Augmentation& out) {
  const size_t equals = part.find('=');
  const std::string name = part.substr(0, equals);
  const Word& word = word_named(name, part);
  if (!seen.insert(name).second) refuse(name, "stands twice");
  if (equals == std::string::npos && word.alone == nullptr)
    refuse(name, text::cat("needs a value, ", word.allowed, ", as ", name, "=0.2"));
  const std::string value = equals == std::string::npos ? word.alone : part.substr(equals + 1);
  const bool takes_none = word.alone != nullptr && *word.alone == '\0';
  if (takes_none && equals != std::string::npos) refuse(name, text::cat("takes no value, not '", value, "'"));
  const std::optional<Numbers> numbers = takes_none ? Numbers{} : numbers_of(value);
  if (!numbers || !word.read(*numbers, out)) refuse(name, text::cat(word.allowed, ", not '", value, "'"));
}

}  // namespace

bool Augmentation::operator==(const Augmentation& o) const {
  return rotate_deg == o.rotate_deg && shift == o.shift && shear_deg == o.shear_deg && zoom == o.zoom &&
         crop_least == o.crop_least && crop_most == o.crop_most && flip == o.flip && trivial == o.trivial &&
         brightness == o.brightness && contrast == o.contrast && saturation == o.saturation && hue == o.hue &&
         erase == o.erase;
}

Augmentation parse_augmentation(const std::string& spec) {
  Augmentation out;
  const std::string list = text::trim(spec);
  if (list.empty() || list == "none") return out;
  std::set<std::string> seen;
  for (const std::string& cell : text::split(list, ',')) {
    const std::string part = text::trim(cell);
    const std::string parts = part == "practicum" ? kPracticum : part == "standard" ? kStandard : part;
    for (const std::string& each : text::split(parts, ',')) {
      if (each == "none") refuse("none", "stands alone or not at all");
      read_part(each, seen, out);
    }
  }
  return out;
}

std::string to_text(const Augmentation& a) {
  std::vector<std::string> parts;
  const auto number = [](double value) { return text::shortest(value); };
  const auto add = [&](const char* name, double value) {
    if (value > 0) parts.push_back(text::cat(name, "=", number(value)));
  };
  add("rotate", a.rotate_deg);
  add("shift", a.shift);
  add("shear", a.shear_deg);
  add("zoom", a.zoom);
  if (a.crop_least > 0) parts.push_back(text::cat("crop=", number(a.crop_least), ":", number(a.crop_most)));
  add("flip", a.flip);
  if (a.trivial) parts.push_back("trivial");
  if (a.brightness > 0 || a.contrast > 0 || a.saturation > 0 || a.hue > 0)
    parts.push_back(text::cat("jitter=", number(a.brightness), ":", number(a.contrast), ":", number(a.saturation), ":",
                              number(a.hue)));
  add("erase", a.erase);
  return parts.empty() ? "none" : text::join(parts, ",");
}

bool is_random(const Augmentation& a) {
  Augmentation nothing;
  nothing.crop_most = a.crop_most;  // says nothing without a crop_least
  return a != nothing;
}

bool is_of_square(const Augmentation& a) { return a.crop_least == 0; }

}  // namespace engraft::image
