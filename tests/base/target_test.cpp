#include "base/target.h"

#include <catch2/catch.hpp>

using namespace engraft;

TEST_CASE("a target is known by its name, and has as many outputs as it asks questions", "[unit]") {
  struct Row {
    Target target;
    const char* name;
    int64_t outputs_of_two;
  };
  for (const Row& row : {Row{Target::kSoftmax, "softmax", 2}, Row{Target::kSigmoid, "sigmoid", 1},
                         Row{Target::kMultiLabel, "multilabel", 2}, Row{Target::kRegression, "regression", 1}}) {
    INFO(row.name);
    CHECK(to_text(row.target) == row.name);
    CHECK(target_from_text(row.name) == row.target);
    CHECK(outputs_of(row.target, 2) == row.outputs_of_two);
  }
  CHECK_FALSE(target_from_text("auto"));
  CHECK_FALSE(target_from_text(""));
}
