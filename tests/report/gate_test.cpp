#include "report/gate.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/errors.h"

using namespace engraft;
using Catch::Matchers::Contains;

namespace {

const io::Json& figures() {
  static const io::Json all = io::parse_json(R"({
    "a": {"top1": {"value": 0.9, "low": 0.8, "high": 0.95}, "loss": null, "run": "runs/a"},
    "b": {"top1": {"value": 0.925, "low": 0.85, "high": 0.97}},
    "by": {"web cam": {"rows": 12}}
  })",
                                             "figures");
  return all;
}

}  // namespace

TEST_CASE("gates are met and not met", "[unit]") {
  struct Case {
    const char* gate;
    bool is_met;
    double left, right;
  };
  const std::vector<Case> cases = {
      {"a.top1 >= 0.9", true, 0.9, 0.9},
      {"a.top1 > 0.9", false, 0.9, 0.9},
      {"a.top1.low>=0.81", false, 0.8, 0.81},
      {"b.top1 - a.top1 > 2%", true, 0.025, 0.02},
      {"0.02 < b.top1-a.top1", true, 0.02, 0.025},
      {"by[\"web cam\"].rows == 12", true, 12, 12},
      {"by[\"web cam\"].rows != 1.2e1", false, 12, 12},
      {"min(a.top1, b.top1) <= 9e-1", true, 0.9, 0.9},
      {"2 * (a.top1 + b.top1) < 3.6", false, 3.65, 3.6},
  };
  for (const Case& c : cases) {
    INFO(c.gate);
    const report::Gate::Outcome outcome = report::Gate(c.gate).check(figures());
    CHECK(outcome.is_met == c.is_met);
    CHECK(outcome.left == Approx(c.left));
    CHECK(outcome.right == Approx(c.right));
    CHECK(outcome.text == c.gate);
  }
}

TEST_CASE("a gate that says nothing is refused, with what is missing", "[unit]") {
  struct Case {
    const char *gate, *says;
  };
  const std::vector<Case> cases = {
      {"a.top1", "a comparison is expected"},
      {"a.top1 >=", "one side of >= is empty"},
      {"a.top1 = 0.9", "'=' is none of"},
      {"0.5 < a.top1 < 0.9", "there are two"},
      {"1 < 2", "no figure"},
      {"a..top1 > 1", "a name is missing"},
      {"by[\"web > 1", "without \"]"},
      {"c.top1 > 1", "no 'c' among 'a' 'b' 'by'"},
      {"a.top5 > 1", "no 'top5' among 'top1' 'loss' 'run'"},
      {"a.top1.value.low > 1", "nothing stands below"},
      {"a.loss < 1", "'a.loss' is no number but null"},
      {"a.run < 1", "no number"},
      {"a < 1", "no number"},
      {"a.top1 b.top1 < 1", "--assert"},
      {"a.top1 / 0 < 1", "not finite"},
      {"sine(a.top1) < 1", "--assert"},
      {"a.top1 - 0,9 > 0", "decimals have a point"},
      {"a.worst.source.top1 > 0", "takes --by COLUMN"},
  };
  for (const Case& c : cases) {
    INFO(c.gate);
    CHECK_THROWS_WITH(report::Gate(c.gate).check(figures()), Contains(c.says));
    CHECK_THROWS_AS(report::Gate(c.gate).check(figures()), UsageError);
  }
}

TEST_CASE("a gate without a run's name is asked of every run", "[unit]") {
  const std::vector<std::pair<std::string, io::Json>> runs = {{"runs/a", figures().at("a")},
                                                              {"runs/b", figures().at("b")}};
  const auto findings = report::check_gates({"top1 > 0.91", "b.top1 > a.top1"}, figures(), runs);
  REQUIRE(findings.size() == 3);
  CHECK_FALSE(findings[0].outcome.is_met);
  CHECK(findings[0].subject == "runs/a");
  CHECK(findings[1].outcome.is_met);
  CHECK(findings[2].subject.empty());
  CHECK_FALSE(report::are_met(findings));
  CHECK_THROWS_WITH(report::check_gates({"c.top1 > 0"}, figures(), runs),
                    Contains("no 'c' among 'a' 'b'") && Contains("--each-seed"));
  CHECK(report::check_gates({"max(a.top1, b.top1) > 0"}, figures(), runs).front().outcome.is_met);
  CHECK(report::findings_text(findings) ==
        "not met: top1 > 0.91 of runs/a (0.9 > 0.91)\nmet: top1 > 0.91 of runs/b (0.925 > 0.91)\n"
        "met: b.top1 > a.top1 (0.925 > 0.9)\n");
}
