#include "train/linear_heads.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "train/head_kernels.h"

using namespace engraft;

namespace {

struct Shape {
  int64_t rows, columns, classes;
};

struct Problem {
  std::vector<at::Tensor> weights, biases;
  std::vector<train::OptimizerSpec> rules;
  std::vector<train::LinearHeads::Step> steps;
};

constexpr int64_t kHeads = 5, kSteps = 4;

Problem problem(const Shape& of, const train::OptimizerSpec& rule) {
  at::manual_seed(1);
  Problem out;
  for (int64_t t = 0; t < kHeads; ++t) {
    out.weights.push_back(at::randn({of.classes, of.columns}));
    out.biases.push_back(at::randn({of.classes}));
    out.rules.push_back(rule);
    out.rules.back().weight_decay = t % 2 == 0 ? 0 : 0.1 * static_cast<double>(t);
  }
  for (int64_t s = 0; s < kSteps; ++s) {
    train::LinearHeads::Step step;
    // The last batch of an epoch is a shorter one.
    const int64_t rows = s + 1 < kSteps ? of.rows : (of.rows + 1) / 2;
    step.batch.inputs = at::randn({rows, of.columns});
    step.batch.labels = at::randint(of.classes, {rows}, at::kLong);
    for (int64_t t = 0; t < kHeads; ++t) step.rates.push_back(0.01 * static_cast<double>(t + s));
    out.steps.push_back(step);
  }
  return out;
}

/// One head of the problem by LibTorch's gradients and the optimiser.
struct Alone {
  at::Tensor weight, bias;
  double loss = 0;
  int64_t right = 0;
};

Alone alone(const Problem& of, size_t t, const train::LossOptions& loss) {
  Alone out{of.weights[t].clone().requires_grad_(true), of.biases[t].clone().requires_grad_(true)};
  const auto optimizer = train::make_optimizer(of.rules[t], {{"w", out.weight}, {"b", out.bias}});
  for (const train::LinearHeads::Step& step : of.steps) {
    optimizer->zero_grad();
    const at::Tensor logits = at::linear(step.batch.inputs, out.weight, out.bias);
    const at::Tensor own = train::loss_of(logits, step.batch, loss);
    own.backward();
    out.loss += own.item<double>() * static_cast<double>(step.batch.labels.size(0));
    out.right += train::count_right(logits.detach(), step.batch, loss.target);
    optimizer->step(step.rates[t]);
  }
  return out;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  const c10::NoGradGuard no_grad;
  return (a - b).abs().max().item<double>();
}

train::OptimizerSpec rule(const char* name, std::optional<double> momentum = {}, bool nesterov = false) {
  train::OptimizerSpec out;
  out.name = name;
  out.momentum = momentum;
  out.nesterov = nesterov;
  return out;
}

}  // namespace

TEST_CASE("linear heads that learn together come to what gradients and optimisers make of each", "[unit]") {
  const std::vector<train::OptimizerSpec> rules = {
      rule("sgd", 0.0), rule("sgd"),          rule("sgd", 0.8, true), rule("adamw"),
      rule("rmsprop"),  rule("rmsprop", 0.5), rule("rmsprop_keras"),  rule("rmsprop_keras", 0.5)};
  const std::vector<Shape> shapes = {{7, 31, 2}, {1, 32, 3}, {8, 33, 5}, {13, 1, 9}, {32, 95, 13}};
  size_t turn = 0;
  for (const train::HeadKernels* kernels : train::head_kernels()) {
    for (const train::OptimizerSpec& each : rules) {
      for (const Shape& shape : shapes) {
        train::LossOptions loss;
        if (++turn % 2 == 0) loss.label_smoothing = 0.2;
        if (turn % 3 == 0) {
          // A batch of rows without weight has no gradient, but for what smoothing makes of nothing divided by nothing.
          const double least = loss.label_smoothing > 0 ? 0.5 : 0;
          for (int64_t c = 0; c < shape.classes; ++c)
            loss.class_weights.push_back(least + 0.5 * static_cast<double>(c));
        }
        INFO("panels of " << kernels->panel << ", " << each.name << ", momentum " << each.momentum.value_or(-1) << ", "
                          << shape.rows << " x " << shape.columns << ", " << shape.classes << " classes, smoothing "
                          << loss.label_smoothing << ", weights " << loss.class_weights.size());
        const Problem given = problem(shape, each);
        REQUIRE(train::LinearHeads::can_learn(loss, each));
        train::LinearHeads heads(given.weights, given.biases, loss, given.rules, kernels);
        train::HeadSums sums;
        heads.learn({given.steps[0], given.steps[1]}, sums);
        heads.learn({given.steps[2], given.steps[3]}, sums);
        const at::Tensor logits = heads.infer(given.steps[0].batch.inputs);
        REQUIRE(logits.sizes() == at::IntArrayRef({kHeads, shape.rows, shape.classes}));
        for (int64_t t = 0; t < kHeads; ++t) {
          const auto place = static_cast<size_t>(t);
          const Alone own = alone(given, place, loss);
          CHECK(difference(heads.weight(t), own.weight) < 2e-4);
          CHECK(difference(heads.bias(t), own.bias) < 2e-4);
          CHECK(sums.losses[place] == Approx(own.loss).epsilon(1e-4));
          CHECK(sums.right[place] == own.right);
          CHECK(difference(logits[t], at::linear(given.steps[0].batch.inputs, heads.weight(t), heads.bias(t))) < 1e-4);
        }
      }
    }
  }
  if (train::head_kernels().empty()) CHECK_FALSE(train::LinearHeads::can_learn({}, rule("adamw")));
}

TEST_CASE("a linear head learns the same to the bit whichever stand beside it", "[unit]") {
  if (train::head_kernels().empty()) return;
  const Problem given = problem({9, 70, 4}, rule("adamw"));
  train::LinearHeads all(given.weights, given.biases, {}, given.rules);
  train::HeadSums sums;
  all.learn({given.steps[0], given.steps[1]}, sums);
  all.keep({3, 1});
  train::LinearHeads one({given.weights[1]}, {given.biases[1]}, {}, {given.rules[1]});
  train::HeadSums own;
  std::vector<train::LinearHeads::Step> steps = given.steps;
  for (train::LinearHeads::Step& step : steps) step.rates = {step.rates[1]};
  one.learn(steps, own);
  std::vector<train::LinearHeads::Step> rest = {given.steps[2], given.steps[3]};
  for (train::LinearHeads::Step& step : rest) step.rates = {step.rates[3], step.rates[1]};
  train::HeadSums later;
  all.learn(rest, later);
  REQUIRE(all.heads() == 2);
  CHECK(at::equal(all.weight(1), one.weight(0)));
  CHECK(at::equal(all.bias(1), one.bias(0)));
  CHECK(sums.losses[1] + later.losses[1] == Approx(own.losses[0]).epsilon(1e-12));
}

TEST_CASE("linear heads refuse what they cannot do", "[unit]") {
  train::LossOptions loss;
  loss.target = Target::kMultiLabel;
  CHECK_FALSE(train::LinearHeads::can_learn(loss, rule("adamw")));
  CHECK_FALSE(train::LinearHeads::can_learn({}, rule("lbfgs")));
  if (train::head_kernels().empty()) return;
  const Problem given = problem({4, 3, 2}, rule("sgd", 0.0, true));
  CHECK_THROWS_AS(train::LinearHeads(given.weights, given.biases, {}, given.rules), UsageError);
  loss = {};
  loss.class_weights = {1, 2, 3};
  CHECK_THROWS_WITH(train::LinearHeads(given.weights, given.biases, loss, {5, rule("sgd")}),
                    Catch::Matchers::Contains("expected 2") && Catch::Matchers::Contains("found 3"));
}
