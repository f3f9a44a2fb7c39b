#include "report/gate.h"

#include <muParser.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::report {

namespace {

[[noreturn]] void refuse(const std::string& gate, const std::string& why) {
  throw UsageError("--assert '" + gate + "': " + why);
}

bool is_word_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_word_start(c) || (c >= '0' && c <= '9'); }

/// The path that begins at `at`, which moves behind it.
std::vector<std::string> read_path(const std::string& gate, size_t& at) {
  std::vector<std::string> path;
  const auto word = [&] {
    const size_t start = at;
    while (at < gate.size() && is_word(gate[at])) ++at;
    if (at == start) refuse(gate, "a name is missing behind '.'");
    path.push_back(gate.substr(start, at - start));
  };
  word();
  while (at < gate.size()) {
    if (gate[at] == '.') {
      ++at;
      word();
    } else if (gate.compare(at, 2, "[\"") == 0) {
      const size_t end = gate.find("\"]", at + 2);
      if (end == std::string::npos) refuse(gate, "[\" without \"]");
      path.push_back(gate.substr(at + 2, end - at - 2));
      at = end + 2;
    } else {
      break;
    }
  }
  return path;
}

std::string path_text(const std::vector<std::string>& path) { return text::join(path, "."); }

double figure(const io::Json& figures, const std::vector<std::string>& path, const std::string& gate) {
  const io::Json* at = &figures;
  for (const std::string& key : path) {
    if (at->is_string()) refuse(gate, "'" + path_text(path) + "' is " + at->get<std::string>());
    if (!at->is_object() || !at->contains(key)) {
      if (key == "by" || key == "worst" || key == "gap") refuse(gate, "'" + path_text(path) + "' takes --by COLUMN");
      std::vector<std::string> names;
      if (at->is_object()) {
        for (const auto& item : at->items()) names.push_back("'" + item.key() + "'");
      }
      refuse(gate, "no figure '" + path_text(path) + "': " +
                       (names.empty() ? "nothing stands below the key before '" + key + "'"
                                      : "no '" + key + "' among " + text::abridge(names, 12)));
    }
    at = &at->at(key);
  }
  if (at->is_object() && at->contains("value")) at = &at->at("value");
  if (at->is_number()) return at->get<double>();
  refuse(gate, "'" + path_text(path) + "' is no number but " + text::abridge(text::split(at->dump(), ','), 3, ","));
}

double percent(double value) { return value / 100; }

/// Throws UsageError for a first key that neither `figures` has nor the figures of `one` run, naming both.
void require_keys(const std::string& gate, const std::vector<std::string>& keys, const io::Json& figures,
                  const io::Json& one) {
  for (const std::string& key : keys) {
    if (one.contains(key) || key == "by" || key == "worst" || key == "gap") continue;
    std::vector<std::string> names;
    for (const auto& item : figures.items()) names.push_back("'" + item.key() + "'");
    refuse(
        gate,
        text::cat(figures.contains(key) ? "of '" : "no '", key,
                  figures.contains(key) ? "' and of each run by itself: they cannot be mixed; there are " : "' among ",
                  text::abridge(names, 12), "; runs that differ in their seed alone are one, unless --each-seed"));
  }
}

}  // namespace

Gate::Gate(const std::string& text) : text_(text) {
  std::string* side = &left_;
  int depth = 0;  // of parentheses
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (is_word_start(c)) {
      const size_t start = at;
      std::vector<std::string> path = read_path(text, at);
      const bool is_function = at < text.size() && text[at] == '(';
      if (is_function) {
        *side += text.substr(start, at - start);
      } else {
        *side += "figure" + std::to_string(figures_.size());
        figures_.push_back(std::move(path));
      }
    } else if (c >= '0' && c <= '9') {  // 1e-3: its e is no name
      while (at < text.size()) {
        const bool is_exponent_sign =
            (text[at] == '-' || text[at] == '+') && (text[at - 1] == 'e' || text[at - 1] == 'E');
        if (!is_word(text[at]) && text[at] != '.' && !is_exponent_sign) break;
        *side += text[at++];
      }
    } else if (c == '<' || c == '>' || c == '=' || c == '!') {
      if (!comparison_.empty()) refuse(text, "one comparison is expected, there are two");
      comparison_ = text.substr(at, at + 1 < text.size() && text[at + 1] == '=' ? 2 : 1);
      if (comparison_ == "=" || comparison_ == "!") refuse(text, "'" + comparison_ + "' is none of >= <= > < == !=");
      at += comparison_.size();
      side = &right_;
    } else {
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      if (c == ',' && depth == 0) refuse(text, "',' stands outside of parentheses; decimals have a point, 0.95");
      *side += text[at++];
    }
  }
  if (comparison_.empty()) refuse(text, "a comparison is expected, such as top1.low >= 0.95");
  if (text::trim(left_).empty() || text::trim(right_).empty()) refuse(text, "one side of " + comparison_ + " is empty");
  if (figures_.empty()) refuse(text, "no figure is compared");
}

std::vector<std::string> Gate::first_keys() const {
  std::vector<std::string> keys;
  for (const std::vector<std::string>& path : figures_) keys.push_back(path.front());
  return keys;
}

Gate::Outcome Gate::check(const io::Json& figures) const {
  std::vector<double> values;
  for (const std::vector<std::string>& path : figures_) values.push_back(figure(figures, path, text_));
  const auto evaluate = [&](const std::string& side) {
    try {
      mu::Parser parser;
      parser.DefinePostfixOprt("%", percent);
      for (size_t i = 0; i < values.size(); ++i) parser.DefineVar("figure" + std::to_string(i), &values[i]);
      parser.SetExpr(side);
      const double value = parser.Eval();
      if (!std::isfinite(value)) refuse(text_, "a side is not finite");
      return value;
    } catch (const mu::Parser::exception_type& error) {
      std::string what = error.GetMsg();
      for (size_t i = figures_.size(); i-- > 0;) {
        what = text::replace_all(what, "figure" + std::to_string(i), path_text(figures_[i]));
      }
      refuse(text_, what);
    }
  };
  Outcome out;
  out.text = text_;
  out.comparison = comparison_;
  out.left = evaluate(left_);
  out.right = evaluate(right_);
  out.is_met = comparison_ == ">="   ? out.left >= out.right
               : comparison_ == "<=" ? out.left <= out.right
               : comparison_ == ">"  ? out.left > out.right
               : comparison_ == "<"  ? out.left < out.right
               : comparison_ == "==" ? out.left == out.right
                                     : out.left != out.right;
  return out;
}

std::vector<GateFinding> check_gates(const std::vector<std::string>& gates, const io::Json& figures,
                                     const std::vector<std::pair<std::string, io::Json>>& subjects) {
  std::vector<GateFinding> findings;
  for (const std::string& text : gates) {
    const Gate gate(text);
    const std::vector<std::string> keys = gate.first_keys();
    const bool is_of_all =
        std::all_of(keys.begin(), keys.end(), [&](const std::string& key) { return figures.contains(key); });
    if (is_of_all || subjects.empty()) {
      findings.push_back({gate.check(figures), ""});
    } else {
      require_keys(text, keys, figures, subjects.front().second);
      for (const auto& [name, own] : subjects) findings.push_back({gate.check(own), name});
    }
  }
  return findings;
}

bool are_met(const std::vector<GateFinding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const GateFinding& f) { return f.outcome.is_met; });
}

io::Json to_json(const std::vector<GateFinding>& findings) {
  io::Json out = io::Json::array();
  for (const GateFinding& finding : findings) {
    io::Json record = {{"assert", finding.outcome.text}};
    if (!finding.subject.empty()) record["subject"] = finding.subject;
    record["met"] = finding.outcome.is_met;
    record["left"] = finding.outcome.left;
    record["right"] = finding.outcome.right;
    out.push_back(std::move(record));
  }
  return out;
}

std::string findings_text(const std::vector<GateFinding>& findings) {
  std::string out;
  for (const GateFinding& finding : findings) {
    const Gate::Outcome& outcome = finding.outcome;
    out += text::cat(outcome.is_met ? "met: " : "not met: ", outcome.text,
                     finding.subject.empty() ? "" : " of " + finding.subject, " (", text::shortest(outcome.left), " ",
                     outcome.comparison, " ", text::shortest(outcome.right), ")\n");
  }
  return out;
}

}  // namespace engraft::report
