#include "finetune/stage_plan.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "graph/surgery.h"
#include "support/nets.h"

using namespace engraft;

namespace {

std::vector<finetune::StagePlan> plan_stages(const finetune::TrainOptions& options) {
  return finetune::plan_stages(options, graph::extract(test::small_net(), {"mixed_2"}), "mixed_2");
}

finetune::TrainOptions with_stages(std::vector<std::string> stages) {
  finetune::TrainOptions options;
  options.epochs = 5;
  options.optimizer.learning_rate = 0.02;
  options.stage = std::move(stages);
  return options;
}

}  // namespace

TEST_CASE("a stage inherits all but its rate, which is a tenth of the head's", "[unit]") {
  const auto stages =
      plan_stages(with_stages({"unfreeze=mixed_2", "unfreeze=mixed_1,epochs=2,optimizer=sgd,learning_rate=1e-5"}));
  REQUIRE(stages.size() == 3);
  CHECK(stages[0].freeze.learning.empty());
  CHECK(stages[0].optimizer.learning_rate == 0.02);
  CHECK(stages[1].epochs == 5);
  CHECK(stages[1].optimizer.optimizer == "adamw");
  CHECK(stages[1].optimizer.learning_rate == Approx(0.002));
  CHECK(stages[2].epochs == 2);
  CHECK(stages[2].optimizer.optimizer == "sgd");
  CHECK(stages[2].optimizer.learning_rate == 1e-5);
  CHECK(stages[2].number == 3);
}

TEST_CASE("the cut is the last legal block below the first that learns", "[unit]") {
  const auto stages =
      plan_stages(with_stages({"unfreeze=mixed_2", "unfreeze=mixed_1", "unfreeze=stem+mixed_2", "unfreeze=all"}));
  CHECK(stages[1].cut == "mixed_1");
  CHECK(stages[2].cut == "stem");
  CHECK(stages[3].cut.empty());
  CHECK(stages[3].freeze.frozen == std::vector<std::string>{"mixed_1"});
  CHECK(stages[4].cut.empty());
}

TEST_CASE("a malformed stage is refused with its number", "[unit]") {
  CHECK_THROWS_WITH(plan_stages(with_stages({"epochs=3"})),
                    Catch::Contains("--stage (stage 2): unfreeze=TEXT is missing"));
  CHECK_THROWS_WITH(plan_stages(with_stages({"unfreeze=mixed_2,epochs=1,epochs=2"})),
                    Catch::Contains("epochs is given twice"));
  CHECK_THROWS_WITH(plan_stages(with_stages({"unfreeze=mixed_2,epoch=3"})), Catch::Contains("did you mean 'epochs'?"));
  CHECK_THROWS_WITH(plan_stages(with_stages({"unfreeze=mixed_2,epochs=0"})), Catch::Contains("at least 1"));
  CHECK_THROWS_AS(plan_stages(with_stages({"unfreeze=mixed_9"})), ModelError);
}
