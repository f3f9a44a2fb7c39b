#include "options/schema.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/errors.h"

using namespace engraft;

namespace {

struct Sample {
  double learning_rate = 1e-3;
  int64_t epochs = 30;
  bool quiet = false;
  std::string pool = "avg";
  std::optional<int64_t> size;
  std::optional<std::array<double, 3>> mean;
  std::vector<std::string> stage;
};

template <class Visitor>
void describe(Visitor& v, Sample& o) {
  v.field("learning_rate", o.learning_rate, "peak learning rate").above(0);
  v.field("epochs", o.epochs, "passes over the training data").at_least(0);
  v.group("Talk");
  v.field("quiet", o.quiet, "say less").not_recorded();
  v.field("pool", o.pool, "how a map becomes a row").one_of({"avg", "flatten"});
  v.field("size", o.size, "picture side").value("PX").at_least(8);
  v.field("mean", o.mean, "channel means");
  v.field("stage", o.stage, "one stage");
}

struct Bound {
  Sample sample;
  options::Schema schema;
  Bound() { describe(schema, sample); }
};

}  // namespace

TEST_CASE("text and JSON reach the members", "[unit]") {
  Bound b;
  b.schema.at("learning-rate", "x").set_text({"1e-5"}, "--learning-rate");
  b.schema.at("mean", "x").set_text({"0.1,0.2,0.3"}, "--mean");
  b.schema.at("stage", "x").set_text({"a=1,b=2", "c=3"}, "--stage");
  b.schema.apply(io::Json{{"epochs", 2}, {"size", 150}, {"quiet", true}}, "c.toml");
  CHECK(b.sample.learning_rate == 1e-5);
  CHECK(b.sample.mean->at(2) == 0.3);
  CHECK(b.sample.stage == std::vector<std::string>{"a=1,b=2", "c=3"});
  CHECK(b.sample.epochs == 2);
  CHECK(b.sample.size == 150);
  b.schema.at("mean", "x").set_text({"0.5"}, "--mean");
  CHECK(b.sample.mean == std::array<double, 3>{0.5, 0.5, 0.5});
}

TEST_CASE("numbers are finite, from text and from TOML", "[unit]") {
  Bound b;
  for (const double number : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
    CHECK_THROWS_WITH(b.schema.apply(io::Json{{"learning_rate", number}}, "c.toml"),
                      Catch::Contains("c.toml: learning_rate: must be a finite number, not "));
    CHECK_THROWS_AS(b.schema.apply(io::Json{{"mean", {0.5, number, 0.5}}}, "c.toml"), UsageError);
  }
  CHECK_THROWS_AS(b.schema.at("learning_rate", "x").set_text({"inf"}, "--learning-rate"), UsageError);
}

TEST_CASE("the record holds what was resolved, without what cannot change a result", "[unit]") {
  Bound b;
  b.schema.apply_assignments("epochs=3,pool=flatten", "--stage");
  CHECK(b.schema.record() ==
        io::Json{{"learning_rate", 1e-3}, {"epochs", 3}, {"pool", "flatten"}, {"stage", io::Json::array()}});
}

TEST_CASE("what is wrong is named with what was expected and found", "[unit]") {
  const auto message = [](const auto& act) -> std::string {
    Bound b;
    try {
      act(b.schema);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  using S = options::Schema;
  CHECK(message([](S& s) { s.at("epoch", "c.toml"); }) == "c.toml: unknown option 'epoch'; did you mean 'epochs'?");
  CHECK(message([](S& s) { s.at("epochs", "").set_text({"two"}, "--epochs"); }) ==
        "--epochs: must be a whole number, not 'two'");
  CHECK(message([](S& s) { s.at("epochs", "").set_text({"-1"}, "--epochs"); }) ==
        "--epochs: must be at least 0, not -1");
  CHECK(message([](S& s) { s.at("learning_rate", "").set_text({"0"}, "--learning-rate"); }) ==
        "--learning-rate: must be above 0, not 0");
  CHECK(message([](S& s) { s.at("learning_rate", "").set_text({"nan"}, "--learning-rate"); }) ==
        "--learning-rate: must be a number, not 'nan'");
  CHECK(message([](S& s) {
          s.apply({{"learning_rate", 0.1}, {"learning-rate", 0.2}}, "c.toml");
        }) == "c.toml: 'learning_rate' and 'learning-rate' are the same option; keep one");
  CHECK(message([](S& s) {
          s.apply({{"pool", "max"}}, "c.toml");
        }) == "c.toml: pool: must be one of avg, flatten, not 'max'");
  CHECK(message([](S& s) {
          s.apply({{"epochs", 1.5}}, "c.toml");
        }) == "c.toml: epochs: must be a whole number, not 1.5");
  CHECK(message([](S& s) { s.at("mean", "").set_text({"1,2"}, "--mean"); }) ==
        "--mean: must be three numbers, not '1,2'");
  CHECK(message([](S& s) { s.apply_assignments("epochs", "--stage"); }) ==
        "--stage: expected key=value,key=value, found 'epochs' in 'epochs'");
}

TEST_CASE("help shows defaults and ranges", "[unit]") {
  Bound b;
  const std::string help = options::help_text("train", "Trains.", b.schema, "  engraft train\n");
  CHECK_THAT(help, Catch::Contains("--learning-rate X") && Catch::Contains("above 0; default 0.001"));
  CHECK_THAT(help, Catch::Contains("one of avg, flatten; default avg") && Catch::Contains("\nTalk\n"));
}

TEST_CASE("a list of tables stands for its key=value texts", "[unit]") {
  Bound b;
  b.schema.apply(io::Json{{"stage", {{{"unfreeze", "mixed_7"}, {"epochs", 2}, {"learning_rate", 1e-5}}, "x=1"}}},
                 "c.toml");
  CHECK(b.sample.stage == std::vector<std::string>{"unfreeze=mixed_7,epochs=2,learning_rate=1e-05", "x=1"});
}
