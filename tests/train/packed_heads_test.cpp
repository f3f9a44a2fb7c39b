#include "train/packed_heads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "base/errors.h"
#include "tensor/device.h"
#include "train/head_kernels.h"

using namespace engraft;
using Catch::Matchers::Contains;

namespace {

using Op = train::HeadOp;

struct Shape {
  int64_t rows;
  std::vector<int64_t> widths;  // of the rows, of each layer
  std::vector<std::vector<Op>> ops = {{}};
};

struct Problem {
  train::HeadStackShape shape;
  std::vector<std::vector<at::Tensor>> parameters;
  std::vector<train::OptimizerSpec> rules;
  std::vector<train::PackedHeads::Step> steps;
};

constexpr int64_t kHeads = 5, kSteps = 4;

Problem problem(const Shape& of, const train::OptimizerSpec& rule) {
  at::manual_seed(1);
  Problem out;
  out.shape.ops = of.ops;
  for (int64_t t = 0; t < kHeads; ++t) {
    out.shape.dropouts.emplace_back();
    out.parameters.emplace_back();
    for (size_t layer = 0; layer < of.ops.size(); ++layer) {
      const double scale = layer == 0 ? 1 : 1 / std::sqrt(static_cast<double>(of.widths[layer]));
      out.parameters.back().push_back(scale * at::randn({of.widths[layer + 1], of.widths[layer]}));
      out.parameters.back().push_back(at::randn({of.widths[layer + 1]}));
      for (const Op op : of.ops[layer]) {
        if (op == Op::kDropout) out.shape.dropouts.back().push_back(t < 3 ? 0.5 : 0.2);
      }
    }
    out.rules.push_back(rule);
    out.rules.back().weight_decay = t % 2 == 0 ? 0 : 0.1 * static_cast<double>(t);
  }
  for (int64_t s = 0; s < kSteps; ++s) {
    train::PackedHeads::Step step;
    // The last batch of an epoch is a shorter one.
    const int64_t rows = s + 1 < kSteps ? of.rows : (of.rows + 1) / 2;
    step.batch.inputs = at::randn({rows, of.widths.front()});
    step.batch.labels = at::randint(of.widths.back(), {rows}, at::kLong);
    for (int64_t t = 0; t < kHeads; ++t) step.rates.push_back(0.01 * static_cast<double>(t + s));
    step.reseed = [s] { at::manual_seed(static_cast<uint64_t>(100 + s)); };
    out.steps.push_back(step);
  }
  return out;
}

at::Tensor applied(at::Tensor x, const std::vector<Op>& ops, const std::vector<double>& dropouts, size_t& next,
                   bool is_learning) {
  for (const Op op : ops) {
    if (op == Op::kRelu) x = at::relu(x);
    if (op == Op::kGelu) x = at::gelu(x);
    if (op == Op::kSilu) x = at::silu(x);
    if (op == Op::kTanh) x = at::tanh(x);
    if (op == Op::kDropout) x = at::dropout(x, dropouts[next++], is_learning);
  }
  return x;
}

at::Tensor logits_of(const Problem& of, size_t t, const std::vector<at::Tensor>& parameters, at::Tensor x,
                     bool is_learning) {
  size_t next = 0;
  for (size_t layer = 0; layer < of.shape.ops.size(); ++layer) {
    x = at::linear(x, parameters[2 * layer], parameters[2 * layer + 1]);
    x = applied(x, of.shape.ops[layer], of.shape.dropouts[t], next, is_learning);
  }
  return x;
}

/// One head of the problem by LibTorch's gradients and the optimiser.
struct Alone {
  std::vector<at::Tensor> parameters;
  double loss = 0;
  int64_t right = 0;
};

Alone alone(const Problem& of, size_t t, const train::LossOptions& loss) {
  Alone out;
  std::vector<tensor::NamedTensor> named;
  for (const at::Tensor& given : of.parameters[t]) {
    out.parameters.push_back(given.clone().requires_grad_(true));
    named.push_back({"p" + std::to_string(named.size()), out.parameters.back()});
  }
  const auto optimizer = train::make_optimizer(of.rules[t], named);
  for (const train::PackedHeads::Step& step : of.steps) {
    optimizer->zero_grad();
    step.reseed();
    const at::Tensor logits = logits_of(of, t, out.parameters, step.batch.inputs, /*is_learning=*/true);
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

TEST_CASE("packed heads come to what gradients and optimisers make of each", "[unit]") {
  const std::vector<train::OptimizerSpec> rules = {
      rule("sgd", 0.0), rule("sgd"),          rule("sgd", 0.8, true), rule("adamw"),
      rule("rmsprop"),  rule("rmsprop", 0.5), rule("rmsprop_keras"),  rule("rmsprop_keras", 0.5)};
  const std::vector<Shape> shapes = {{7, {31, 2}},
                                     {1, {32, 3}},
                                     {8, {33, 5}},
                                     {13, {1, 9}},
                                     {32, {95, 13}},
                                     {5, {40, 33, 4}, {{Op::kRelu}, {}}},
                                     {9, {10, 16, 7, 3}, {{Op::kDropout, Op::kGelu}, {Op::kSilu, Op::kDropout}, {}}},
                                     {6, {12, 5, 3}, {{}, {Op::kTanh}}}};
  size_t turn = 0;
  for (const train::HeadKernels* kernels : train::head_kernels()) {
    for (const train::OptimizerSpec& each : rules) {
      for (const Shape& shape : shapes) {
        train::LossOptions loss;
        if (++turn % 2 == 0) loss.label_smoothing = 0.2;
        if (turn % 3 == 0) {
          // A batch of rows without weight has no gradient, but for what smoothing makes of nothing divided by nothing.
          const double least = loss.label_smoothing > 0 ? 0.5 : 0;
          for (int64_t c = 0; c < shape.widths.back(); ++c)
            loss.class_weights.push_back(least + 0.5 * static_cast<double>(c));
        }
        INFO("panels of " << kernels->panel << ", " << each.name << ", momentum " << each.momentum.value_or(-1) << ", "
                          << shape.rows << " x " << shape.widths.front() << ", " << shape.ops.size()
                          << " layers, smoothing " << loss.label_smoothing << ", weights "
                          << loss.class_weights.size());
        const Problem given = problem(shape, each);
        REQUIRE(train::PackedHeads::can_learn(loss, each));
        train::PackedHeads heads(given.shape, given.parameters, loss, given.rules, kernels);
        train::HeadSums sums;
        heads.learn({given.steps[0], given.steps[1]}, sums);
        heads.learn({given.steps[2], given.steps[3]}, sums);
        const at::Tensor& rows = given.steps[0].batch.inputs;
        const at::Tensor logits = heads.infer(rows);
        REQUIRE(logits.sizes() == at::IntArrayRef({kHeads, shape.rows, shape.widths.back()}));
        for (size_t t = 0; t < kHeads; ++t) {
          const Alone own = alone(given, t, loss);
          const std::vector<at::Tensor> learned = heads.parameters(static_cast<int64_t>(t));
          REQUIRE(learned.size() == own.parameters.size());
          // A gradient near nothing, divided by its own size, carries its rounding into the weight.
          for (size_t i = 0; i < learned.size(); ++i) CHECK(difference(learned[i], own.parameters[i]) < 2e-3);
          CHECK(sums.losses[t] == Approx(own.loss).epsilon(1e-3));
          CHECK(sums.right[t] == own.right);
          CHECK(difference(logits[static_cast<int64_t>(t)], logits_of(given, t, learned, rows, false)) < 1e-4);
        }
      }
    }
  }
  if (train::head_kernels().empty()) CHECK_FALSE(train::PackedHeads::can_learn({}, rule("adamw")));
}

TEST_CASE("a packed head learns the same to the bit whichever stand beside it, on any number of threads", "[unit]") {
  if (train::head_kernels().empty()) return;
  const int threads = at::get_num_threads();
  const std::vector<Shape> shapes = {{9, {70, 4}},
                                     {20, {70, 20, 4}, {{Op::kSilu, Op::kDropout}, {}}},
                                     {1, {256, 64, 10}, {{Op::kGelu}, {Op::kTanh}}},
                                     {20, {512, 256, 12}, {{Op::kRelu}, {}}}};
  for (const Shape& shape : shapes) {
    INFO(shape.widths.front() << " columns, " << shape.ops.size() << " layers");
    const Problem given = problem(shape, rule("adamw"));
    tensor::set_compute_threads(1);
    train::PackedHeads all(given.shape, given.parameters, {}, given.rules);
    train::HeadSums sums;
    all.learn({given.steps[0], given.steps[1]}, sums);
    all.keep({3, 1});
    std::vector<train::PackedHeads::Step> rest = {given.steps[2], given.steps[3]};
    for (train::PackedHeads::Step& step : rest) step.rates = {step.rates[3], step.rates[1]};
    train::HeadSums later;
    all.learn(rest, later);
    REQUIRE(all.heads() == 2);
    train::HeadStackShape alone = given.shape;
    alone.dropouts = {alone.dropouts[1]};
    std::vector<train::PackedHeads::Step> steps = given.steps;
    for (train::PackedHeads::Step& step : steps) step.rates = {step.rates[1]};
    for (const int64_t count : {1, 3, 8}) {
      tensor::set_compute_threads(count);
      train::PackedHeads one(alone, {given.parameters[1]}, {}, {given.rules[1]});
      train::HeadSums own;
      one.learn(steps, own);
      const std::vector<at::Tensor> learned = one.parameters(0), beside = all.parameters(1);
      for (size_t i = 0; i < learned.size(); ++i) CHECK(at::equal(learned[i], beside[i]));
      CHECK(sums.losses[1] + later.losses[1] == Approx(own.losses[0]).epsilon(1e-12));
      const at::Tensor& rows = given.steps[0].batch.inputs;
      CHECK(at::equal(one.infer(rows)[0], all.infer(rows)[1]));
    }
  }
  tensor::set_compute_threads(threads);
}

TEST_CASE("packed heads refuse what they cannot do", "[unit]") {
  train::LossOptions loss;
  loss.target = Target::kMultiLabel;
  CHECK_FALSE(train::PackedHeads::can_learn(loss, rule("adamw")));
  CHECK_FALSE(train::PackedHeads::can_learn({}, rule("lbfgs")));
  if (train::head_kernels().empty()) return;
  const Problem plain = problem({4, {3, 2}}, rule("sgd"));
  train::PackedHeads heads(plain.shape, plain.parameters, {}, plain.rules);
  train::HeadSums sums;
  train::PackedHeads::Step wide = plain.steps[0], unknown = wide;
  wide.batch.inputs = at::zeros({4, 5});
  CHECK_THROWS_WITH(heads.learn({wide}, sums), Contains("[B, 3]") && Contains("5"));
  unknown.batch.labels = at::full({4}, 2, at::kLong);
  CHECK_THROWS_WITH(heads.learn({unknown}, sums), Contains("below 2, found 2"));
  const Problem given = problem({4, {3, 2}}, rule("sgd", 0.0, true));
  CHECK_THROWS_AS(train::PackedHeads(given.shape, given.parameters, {}, given.rules), UsageError);
  loss = {};
  loss.class_weights = {1, 2, 3};
  CHECK_THROWS_WITH(train::PackedHeads(given.shape, given.parameters, loss, {5, rule("sgd")}),
                    Contains("expected 2") && Contains("found 3"));
}
