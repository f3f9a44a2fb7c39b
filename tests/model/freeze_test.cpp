#include "model/freeze.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "base/errors.h"
#include "graph/surgery.h"
#include "support/nets.h"

using namespace engraft;
using Names = std::vector<std::string>;

TEST_CASE("what a stage unfreezes is read from words", "[unit]") {
  const Names blocks = {"stem", "features.0", "features.1", "mixed_7", "mixed_8"};
  struct Row {
    const char* words;
    Names learning;
    int64_t first;
  };
  for (const Row& row : {Row{"mixed_7", {"mixed_7", "mixed_8"}, 3}, Row{"none", {}, -1}, Row{"last:1", {"mixed_8"}, 4},
                         Row{"all", blocks, 0}, Row{"features.1+mixed_8", {"features.1", "mixed_8"}, 2},
                         Row{"features", {"features.0", "features.1", "mixed_7", "mixed_8"}, 1},
                         Row{"stem+features", {"stem", "features.0", "features.1"}, 0}}) {
    INFO(row.words);
    const auto plan = model::plan_freeze(row.words, blocks);
    CHECK(plan.learning == row.learning);
    CHECK(plan.first_learning == row.first);
    CHECK(plan.frozen.size() + plan.learning.size() == blocks.size());
  }
  CHECK_THROWS_WITH(model::plan_freeze("Mixed_8", blocks),
                    Catch::Contains("no block 'Mixed_8'") && Catch::Contains("did you mean 'mixed_8'?"));
  for (const char* bad : {"last:0", "last:6", "last:x"}) CHECK_THROWS_AS(model::plan_freeze(bad, blocks), UsageError);
}

TEST_CASE("a block called twice learns in both calls or in none", "[unit]") {
  const auto plan = model::plan_freeze("last:1", {"a", "shared#1", "b", "shared#2"});
  CHECK(plan.learning == Names{"shared#1", "shared#2"});
  CHECK(plan.first_learning == 1);
}

TEST_CASE("last:N counts the blocks that have something to learn", "[unit]") {
  const std::vector<std::string> blocks = {"stem", "pool", "mixed_7", "mixed_8", "avgpool", "dropout"};
  const std::vector<bool> has_parameters = {true, false, true, true, false, false};
  CHECK(model::plan_freeze("last:1", blocks, has_parameters).learning == Names{"mixed_8", "avgpool", "dropout"});
  CHECK(model::plan_freeze("last:2", blocks, has_parameters).first_learning == 2);
  CHECK(model::plan_freeze("last:3", blocks, has_parameters).first_learning == 0);
  CHECK_THROWS_WITH(model::plan_freeze("last:4", blocks, has_parameters), Catch::Contains("N from 1 to 3"));
  CHECK(model::plan_freeze("last:2", {"stem", "x#1", "y", "x#2"}, {true, true, true, true}).learning ==
        Names{"x#1", "y", "x#2"});
  CHECK_THROWS_WITH(model::plan_freeze("last:3", {"x#1", "y", "x#2"}), Catch::Contains("N from 1 to 2"));
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  CHECK(model::with_parameters(body, {"stem", "mixed_1", "none"}) == std::vector<bool>{true, true, false});
}

TEST_CASE("names belong to blocks by whole path parts", "[unit]") {
  CHECK(model::belongs_to("mixed_1.conv.weight", "mixed_1"));
  CHECK_FALSE(model::belongs_to("mixed_10.conv.weight", "mixed_1"));
  CHECK(model::belongs_to("shared.weight", "shared#2"));
}

namespace {

struct Setup {
  torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  model::FreezePlan plan = model::plan_freeze("mixed_2", {"stem", "mixed_1", "mixed_2"});
};

void run_forward(torch::jit::Module& body) {
  c10::NoGradGuard no_grad;
  body.forward({at::randn({4, 3, 16, 16})});
}

}  // namespace

TEST_CASE("one function sets the modes: frozen blocks in eval, learning ones in train, norms in eval", "[unit]") {
  Setup s;
  model::set_modes(s.body, s.plan, true);
  CHECK_FALSE(s.body.attr("stem").toModule().is_training());
  CHECK(s.body.attr("mixed_2").toModule().is_training());
  CHECK_FALSE(s.body.attr("mixed_2").toModule().attr("bn").toModule().is_training());
  for (const auto& parameter : s.body.named_parameters(true)) {
    INFO(parameter.name);
    CHECK(parameter.value.requires_grad() == (parameter.name.rfind("mixed_2", 0) == 0));
  }
  model::set_modes(s.body, s.plan, false);
  CHECK_FALSE(s.body.attr("mixed_2").toModule().is_training());
}

TEST_CASE("the norms of learning blocks are in train mode under that policy alone, those of frozen blocks never",
          "[unit]") {
  Setup s;
  for (const char* policy : {"frozen", "train", "recalibrate"}) {
    INFO(policy);
    s.plan.norms = model::norm_policy_from_text(policy);
    CHECK(model::to_text(s.plan.norms) == policy);
    model::set_modes(s.body, s.plan, true);
    const bool moves = s.plan.norms == model::NormPolicy::kTrain;
    CHECK(s.body.attr("mixed_2").toModule().attr("bn").toModule().is_training() == moves);
    CHECK_FALSE(s.body.attr("mixed_1").toModule().attr("bn").toModule().is_training());
    CHECK_FALSE(s.body.attr("stem").toModule().attr("bn").toModule().is_training());
    Names learning;
    for (const auto& item : model::learning_parameters(s.body, s.plan)) learning.push_back(item.name);
    CHECK(learning == Names{"mixed_2.conv.weight", "mixed_2.conv.bias", "mixed_2.bn.weight", "mixed_2.bn.bias"});

    const auto frozen = tensor::snapshot(model::frozen_tensors(s.body, s.plan));
    const at::Tensor mean = s.body.attr("mixed_2").toModule().attr("bn").toModule().attr("running_mean").toTensor();
    const at::Tensor before = mean.clone();
    run_forward(s.body);
    CHECK(at::equal(mean, before) == !moves);
    CHECK(tensor::digest(model::frozen_tensors(s.body, s.plan)) == tensor::digest(frozen));
    model::set_modes(s.body, s.plan, false);
    CHECK_FALSE(s.body.attr("mixed_2").toModule().attr("bn").toModule().is_training());
  }
  CHECK_THROWS_WITH(model::norm_policy_from_text("thaw"), Catch::Contains("train or recalibrate, found 'thaw'"));
}

TEST_CASE("the proof holds while only learning blocks move", "[unit]") {
  Setup s;
  model::set_modes(s.body, s.plan, true);
  const model::FrozenProof proof(s.body, s.plan);
  run_forward(s.body);
  {
    c10::NoGradGuard no_grad;
    for (const auto& item : model::learning_parameters(s.body, s.plan)) at::Tensor(item.value).add_(1e-3);
  }
  const auto verdict = proof.check(s.body);
  CHECK(verdict.holds());
  CHECK(verdict.blocks == 2);
  CHECK(verdict.tensors == 6 + 8);
}

TEST_CASE("the proof fails when one frozen weight moves by one bit", "[unit]") {
  Setup s;
  model::set_modes(s.body, s.plan, true);
  const model::FrozenProof proof(s.body, s.plan);
  {
    c10::NoGradGuard no_grad;
    at::Tensor weight = s.body.attr("stem").toModule().attr("conv").toModule().attr("weight").toTensor();
    weight.view({-1})[5] = std::nextafter(weight.view({-1})[5].item<float>(), 10.0f);
  }
  CHECK(proof.check(s.body).moved == Names{"stem"});
}

TEST_CASE("the proof fails when one frozen norm is in train mode, before and after its statistics move", "[unit]") {
  Setup s;
  model::set_modes(s.body, s.plan, true);
  const model::FrozenProof proof(s.body, s.plan);
  s.body.attr("mixed_1").toModule().attr("bn").toModule().train(true);
  CHECK(proof.check(s.body).moved == Names{"mixed_1"});
  run_forward(s.body);
  model::set_modes(s.body, s.plan, true);  // the mode is mended, the statistics are not
  CHECK(proof.check(s.body).moved == Names{"mixed_1"});
}
