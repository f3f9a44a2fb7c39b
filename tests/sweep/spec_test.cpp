#include "sweep/spec.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>

#include "base/errors.h"
#include "finetune/train_options.h"
#include "io/atomic_file.h"
#include "options/schema.h"

using namespace engraft;
using Catch::Matchers::Contains;

namespace {

sweep::Spec parse(const std::string& toml) { return sweep::parse_spec(toml, "s.toml"); }

}  // namespace

TEST_CASE("trials are lists times draws times grid, the last name fastest", "[unit]") {
  const sweep::Spec spec = parse(
      "[base]\nbackbone = 'b.pt'\n[[trial]]\ntap = 'x'\n[[trial]]\ntap = 'y'\nhead = 'fc=4'\n"
      "[random]\ndraws = 3\nweight-decay = { uniform = [0, 1] }\n"
      "[grid]\nlearning-rate = [0.1, 0.2]\nseed = [1, 2]\n");
  CHECK(spec.base.at("backbone") == "b.pt");
  CHECK(spec.varied == std::vector<std::string>{"tap", "head", "weight_decay", "learning_rate", "seed"});
  REQUIRE(spec.trials.size() == 2 * 3 * 4);
  CHECK(spec.trials[0].at("seed") == 1);
  CHECK(spec.trials[1].at("seed") == 2);
  CHECK(spec.trials[1].at("learning_rate") == 0.1);
  CHECK(spec.trials[2].at("learning_rate") == 0.2);
  CHECK(spec.trials[0].at("weight_decay") == spec.trials[3].at("weight_decay"));
  CHECK(spec.trials[0].at("weight_decay") != spec.trials[4].at("weight_decay"));
  CHECK(spec.trials[0].at("weight_decay") == spec.trials[12].at("weight_decay"));
  CHECK(spec.trials[11].at("tap") == "x");
  CHECK(spec.trials[12].at("head") == "fc=4");
}

TEST_CASE("a SPEC without variations is one trial", "[unit]") {
  CHECK(parse("[base]\nbackbone = 'b.pt'\n").trials == std::vector<io::Json>{io::Json::object()});
}

TEST_CASE("draws lie where they are asked for and depend on name and number alone", "[unit]") {
  const sweep::Spec spec = parse(
      "[random]\ndraws = 400\nlearning_rate = { log_uniform = [1e-4, 1e-1] }\nepochs = { int_uniform = [2, 5] }\n"
      "weight_decay = { uniform = [-1, 1] }\nhead = { choice = ['', 'fc=8'] }\n");
  int below = 0, eights = 0, fives = 0;
  for (const io::Json& trial : spec.trials) {
    const double rate = trial.at("learning_rate"), decay = trial.at("weight_decay");
    CHECK((rate >= 1e-4 && rate <= 1e-1));
    CHECK((decay >= -1 && decay <= 1));
    CHECK(trial.at("epochs").is_number_integer());
    CHECK((trial.at("epochs") >= 2 && trial.at("epochs") <= 5));
    below += rate < std::sqrt(1e-5) ? 1 : 0;
    eights += trial.at("head") == "fc=8" ? 1 : 0;
    fives += trial.at("epochs") == 5 ? 1 : 0;
  }
  // Of 400, with five standard deviations of 10 (of a half) or 8.7 (of a quarter).
  CHECK(std::abs(below - 200) < 50);
  CHECK(std::abs(eights - 200) < 50);
  CHECK(std::abs(fives - 100) < 44);
  const sweep::Spec fewer = parse("[random]\ndraws = 2\nlearning_rate = { log_uniform = [1e-4, 1e-1] }\n");
  CHECK(fewer.trials[1].at("learning_rate") == spec.trials[1].at("learning_rate"));
  const sweep::Spec other =
      parse("[random]\ndraws = 2\nseed_of_draws = 1\nlearning_rate = { log_uniform = [1e-4, 1e-1] }\n");
  CHECK(other.trials[1].at("learning_rate") != spec.trials[1].at("learning_rate"));
  CHECK(io::json_line(spec.trials[1].at("learning_rate")).size() <= 11);  // six digits
}

TEST_CASE("the sweeps of scripts/sweeps are SPECs of options that train has", "[unit]") {
  int64_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ENGRAFT_SOURCE_DIR "/scripts/sweeps")) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    const sweep::Spec spec = parse(io::read_file(entry.path()));
    CHECK(spec.trials.size() > 1);
    for (const io::Json& trial : spec.trials) {
      io::Json given = spec.base;
      given.update(trial);
      if (given.contains("stage") && given["stage"].is_string()) given["stage"] = io::Json::array({given["stage"]});
      finetune::TrainOptions options;
      options::Schema schema;
      describe(schema, options);
      CHECK_NOTHROW(schema.apply(given, entry.path().string()));
    }
  }
  CHECK(count == 3);
}

TEST_CASE("what is no SPEC is refused, with the place", "[unit]") {
  struct Case {
    const char *toml, *says;
  };
  const std::vector<Case> cases = {
      {"[gird]\nseed = [1]\n", "unknown table 'gird'"},
      {"[grid]\nseed = 1\n", "[grid] seed: expected a list"},
      {"[grid]\nseed = []\n", "[grid] seed: expected a list"},
      {"[grid]\nseed = [1]\n[random]\ndraws = 2\nseed = { choice = [1] }\n", "seed stands in [random] and in [grid]"},
      {"[random]\nseed = { choice = [1] }\n", "draws = N is missing"},
      {"[random]\ndraws = 0\n", "at least 1, found 0"},
      {"[random]\ndraws = 2\nlr = { log_uniform = [0, 1] }\n", "lr: expected [low, high] above 0"},
      {"[random]\ndraws = 2\nlr = { uniform = [1, 1] }\n", "expected [low, high]"},
      {"[random]\ndraws = 2\nlr = { normal = [1, 1] }\n", "expected one of"},
      {"[random]\ndraws = 2\nlr = { choice = [] }\n", "choice: expected a list"},
      {"[random]\ndraws = 2\nn = { int_uniform = [0.5, 2] }\n", "whole numbers"},
      {"[random]\ndraws = 200000\nlr = { uniform = [0, 1] }\n", "at most 100000"},
      {"trial = 1\n", "[[trial]]"},
      {"[base\n", "s.toml:1"},
  };
  for (const Case& c : cases) {
    INFO(c.toml);
    CHECK_THROWS_WITH(parse(c.toml), Contains(c.says) && Contains("s.toml"));
    CHECK_THROWS_AS(parse(c.toml), UsageError);
  }
}
