#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/json.h"

namespace engraft::report {

/// One `--assert`: two sides with one of >= <= > < == != between them. A side is arithmetic (+ - * / ( ), `95%` for
/// 0.95, what muParser knows) over numbers and figures. A figure is a path of keys with dots between them
/// (`a.top1.low`), a key that is no plain word in brackets (`by["web cam"].top1`).
class Gate {
 public:
  struct Outcome {
    std::string text, comparison;
    bool is_met = false;
    double left = 0, right = 0;
  };

  /// Throws UsageError where `text` is no such comparison.
  explicit Gate(const std::string& text);

  /// The first keys of all its figures.
  std::vector<std::string> first_keys() const;
  /// Where a path ends at an object that has a "value", that is meant. Throws UsageError for a figure that `figures`
  /// has not, naming those that stand beside it, or that is null, and for arithmetic without a result.
  Outcome check(const io::Json& figures) const;

 private:
  std::string text_, comparison_;
  std::string left_, right_;                       // with a word for each figure
  std::vector<std::vector<std::string>> figures_;  // the path behind each word
};

/// What was found of one gate, and of which run where it was asked of each.
struct GateFinding {
  Gate::Outcome outcome;
  std::string subject;
};

/// Checks each of `gates`: of `figures` where they have its first keys, else of each of `subjects` by its name. Throws
/// as Gate.
std::vector<GateFinding> check_gates(const std::vector<std::string>& gates, const io::Json& figures,
                                     const std::vector<std::pair<std::string, io::Json>>& subjects);

bool are_met(const std::vector<GateFinding>& findings);
/// {"assert", "subject" where there is one, "met", "left", "right"} each.
io::Json to_json(const std::vector<GateFinding>& findings);
/// A line each: "not met: top1.low >= 0.95 (0.9401 >= 0.95)".
std::string findings_text(const std::vector<GateFinding>& findings);

}  // namespace engraft::report
