#include "train/optimizer.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "goldens.h"
#include "small.h"

using namespace engraft;

namespace {

struct Problem {
  at::Tensor weight = small::tensor_of(goldens::kWeight, {3, 2}).set_requires_grad(true);
  at::Tensor bias = small::tensor_of(goldens::kBias, {3}).set_requires_grad(true);

  std::vector<tensor::NamedTensor> parameters() const { return {{"fc.weight", weight}, {"fc.bias", bias}}; }
  double add_gradient() const {
    const at::Tensor x = small::tensor_of(goldens::kInputs, {5, 2}), y = at::tensor(goldens::kLabels, at::kLong);
    const at::Tensor loss = at::cross_entropy_loss(at::linear(x, weight, bias), y);
    loss.backward();
    return loss.item<double>();
  }
};

/// Six steps as trained() of goldens.py makes them.
std::vector<double> after_six_steps(const train::OptimizerSpec& spec) {
  Problem problem;
  const auto optimizer = train::make_optimizer(spec, problem.parameters(), {1, spec.name == "rmsprop_keras" ? 1 : 0.5});
  for (int i = 0; i < 6; ++i) {
    optimizer->zero_grad();
    problem.add_gradient();
    optimizer->step(0.1);
  }
  return small::flat(problem.parameters());
}

}  // namespace

TEST_CASE("six steps of each optimiser are PyTorch's, and rmsprop_keras' are Keras'", "[unit]") {
  struct Row {
    const char* name;
    train::OptimizerSpec spec;
    const std::vector<double>& golden;
  };
  const std::vector<Row> rows = {
      {"sgd", {"sgd", 0, false, 0.1}, goldens::kSgd},
      {"sgd momentum by default", {"sgd", {}, false, 0.1}, goldens::kSgdMomentum},
      {"sgd nesterov", {"sgd", 0.9, true, 0.1}, goldens::kSgdNesterov},
      {"adamw", {"adamw", {}, false, 0.1}, goldens::kAdamw},
      {"rmsprop without momentum by default", {"rmsprop", {}, false, 0.1}, goldens::kRmsprop},
      {"rmsprop momentum", {"rmsprop", 0.5, false, 0.1}, goldens::kRmspropMomentum},
      {"rmsprop_keras", {"rmsprop_keras", {}, false, 0.1}, goldens::kRmspropKeras},
      {"rmsprop_keras momentum", {"rmsprop_keras", 0.5, false, 0.1}, goldens::kRmspropKerasMomentum},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    // float32 of values about 1, six steps, and rules that divide by small roots.
    CHECK(small::furthest(after_six_steps(row.spec), row.golden) < 2e-6);
  }
}

TEST_CASE("Keras' own example: 10 less one step of rmsprop at 0.1 is 9.683772", "[unit]") {
  const at::Tensor x = at::full({}, 10.0F);
  const auto optimizer = train::make_optimizer({"rmsprop_keras", {}, false, 0}, {{"x", x}});
  x.mutable_grad() = at::full({}, 10.0F);
  optimizer->step(0.1);
  CHECK(x.item<double>() == Approx(9.683772).margin(1e-6));
}

TEST_CASE("lbfgs takes PyTorch's path, and decays weights by a penalty", "[unit]") {
  Problem problem;
  const auto optimizer = train::make_optimizer({"lbfgs", {}, false, 0.1}, problem.parameters());
  REQUIRE(optimizer->is_full_batch());
  std::vector<double> losses;
  for (int i = 0; i < 2; ++i) {
    optimizer->minimise(0.5, [&] {
      const double loss = problem.add_gradient();
      losses.push_back(loss + 0.05 * problem.weight.square().sum().item<double>());
      return loss;
    });
  }
  // Float32 losses; after the first 12 the search is down to their last bits, in a valley that is flat along the bias.
  losses.resize(goldens::kLbfgsLosses.size());
  CHECK(small::furthest(losses, goldens::kLbfgsLosses) < 3e-7);
  CHECK(small::furthest(small::flat(problem.parameters()), goldens::kLbfgsEnd) < 1e-3);
}

TEST_CASE("a bias is not decayed and a scale slows a parameter", "[unit]") {
  for (const char* name : {"sgd", "adamw", "rmsprop", "rmsprop_keras"}) {
    INFO(name);
    const auto moved_by = [&](int steps, double scale, double decay) {
      Problem problem;
      const auto before = small::flat(problem.parameters());
      const auto optimizer = train::make_optimizer({name, {}, false, decay}, problem.parameters(), {scale, scale});
      for (int i = 0; i < steps; ++i) {
        optimizer->zero_grad();
        problem.add_gradient();
        optimizer->step(0.01);
      }
      std::vector<double> moved = small::flat(problem.parameters());
      for (size_t i = 0; i < moved.size(); ++i) moved[i] -= before[i];
      return moved;
    };
    const std::vector<double> whole = moved_by(1, 1, 0), half = moved_by(1, 0.5, 0), still = moved_by(1, 0, 0.5);
    const std::vector<double> bias_alone = moved_by(1, 1, 0.5);
    // A first step of rmsprop hardly depends on the gradient's length, which is what decay changes there.
    const std::vector<double> plain = moved_by(2, 1, 0), decayed = moved_by(2, 1, 0.5);
    for (size_t i = 0; i < whole.size(); ++i) {
      CHECK(half[i] == Approx(whole[i] / 2).margin(1e-7));
      CHECK(still[i] == 0);
      if (i >= 6) {
        CHECK(bias_alone[i] == whole[i]);
      } else {
        CHECK(std::abs(decayed[i] - plain[i]) > 1e-6);
      }
    }
  }
}

TEST_CASE("an optimiser's state of another shape or name is refused", "[unit]") {
  const at::Tensor weight = at::zeros({2, 3});
  for (const char* name : {"adamw", "rmsprop_keras"}) {
    const auto optimizer = train::make_optimizer({name, {}, false, 0}, {{"fc1.weight", weight}});
    const std::string slot = std::string("/") + (std::string(name) == "adamw" ? "exp_avg" : "velocity");
    CHECK_THROWS_WITH(optimizer->restore({{"fc1.weight" + slot, at::zeros({3, 2})}}),
                      Catch::Contains("expected [2, 3]"));
    CHECK_THROWS_WITH(optimizer->restore({{"fc2.weight" + slot, at::zeros({2, 3})}}),
                      Catch::Contains("nothing here has a state 'fc2.weight" + slot + "'"));
  }
  const auto lbfgs = train::make_optimizer({"lbfgs", {}, false, 0}, {{"fc1.weight", weight}});
  CHECK_THROWS_WITH(lbfgs->restore({{"fc1.weight/exp_avg", weight}}), Catch::Contains("lbfgs/func_evals"));
}

TEST_CASE("restoring forgets what was kept before", "[unit]") {
  for (const char* name : {"sgd", "adamw", "rmsprop", "rmsprop_keras"}) {
    Problem problem;
    const auto optimizer = train::make_optimizer({name, 0.5, false, 0}, problem.parameters());
    problem.add_gradient();
    optimizer->step(0.01);
    CHECK_FALSE(optimizer->state().empty());
    optimizer->restore({});
    CHECK(optimizer->state().empty());
  }
}

TEST_CASE("wrong optimisers are refused", "[unit]") {
  const Problem problem;
  const auto all = problem.parameters();
  CHECK_THROWS_AS(train::make_optimizer({"lion", {}, false, 0}, all), UsageError);
  CHECK_THROWS_AS(train::make_optimizer({"sgd", {}, false, 0}, {}), UsageError);
  CHECK_THROWS_AS(train::make_optimizer({"sgd", 0, true, 0}, all), UsageError);
  CHECK_THROWS_AS(train::make_optimizer({"sgd", {}, false, 0}, all, {1}), UsageError);
  CHECK_THROWS_AS(train::make_optimizer({"lbfgs", {}, false, 0}, all, {1, 0.5}), UsageError);
  CHECK_THROWS_WITH(train::make_optimizer({"lbfgs", {}, false, 0}, {{"w", at::zeros({2001, 1000})}}),
                    Catch::Contains("found 2001000"));
}
