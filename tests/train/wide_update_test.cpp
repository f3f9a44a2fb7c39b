#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "small.h"
#include "train/factor_update.h"
#include "train/gradients.h"
#include "train/optimizer.h"
#include "train/update_size.h"

using namespace engraft;

namespace {

// Rows and columns that make no whole tile, patch or panel of the kernel's; six blocks of elements.
constexpr int64_t kOut = 205, kIn = 8197;

/// A weight whose gradient is a product of factors, and what goes with it.
class Wide : public train::Trainee {
 public:
  explicit Wide(bool is_by_factors) : is_by_factors_(is_by_factors) {
    at::manual_seed(5);
    weight = at::randn({kOut, kIn}).set_requires_grad(true);
    bias = at::randn({kOut}).set_requires_grad(true);
  }
  void put_gradients(int step) {
    at::manual_seed(100 + step);
    const at::Tensor g = at::randn({6, kOut}), x = at::randn({6, kIn});
    g.select(1, 3).zero_();  // a unit without a gradient
    if (is_by_factors_ && outer.is_wanted()) {
      outer.put(g, x);
    } else {
      weight.mutable_grad() = at::mm(g.t(), x);
    }
    bias.mutable_grad() = g.sum(0);
  }
  at::Tensor outputs(const at::Tensor& x) override { return x; }
  void set_training(bool) override {}
  std::vector<tensor::NamedTensor> parameters() override { return {{"weight", weight}, {"bias", bias}}; }
  std::vector<tensor::OuterGradient*> outer_gradients() override { return {&outer, nullptr}; }
  std::vector<tensor::NamedTensor> state() override { return parameters(); }

  at::Tensor weight, bias;
  tensor::OuterGradient outer;

 private:
  bool is_by_factors_;
};

std::unique_ptr<train::Optimizer> optimizer_of(Wide& wide, const train::OptimizerSpec& spec) {
  return train::make_optimizer(spec, wide.parameters(), {1, 0.5}, wide.outer_gradients());
}

/// Three steps, the gradient clipped where `longest` is not 0.
at::Tensor after_three_steps(Wide& wide, const train::OptimizerSpec& spec, double longest = 0) {
  const auto optimizer = optimizer_of(wide, spec);
  for (int step = 0; step < 3; ++step) {
    optimizer->zero_grad();
    wide.put_gradients(step);
    if (longest > 0) train::clip_gradient(wide, longest);
    optimizer->step(0.01);
  }
  return wide.weight.detach();
}

const std::vector<train::OptimizerSpec> kByFactors = {
    {"sgd", 0, false, 0.1}, {"sgd", 0.9, false, 0}, {"sgd", 0.9, true, 0.1}};
const std::vector<train::OptimizerSpec> kByGradient = {{"adamw", {}, false, 0.1},
                                                       {"rmsprop", 0.5, false, 0.1},
                                                       {"rmsprop_keras", {}, false, 0.1},
                                                       {"rmsprop_keras", 0.5, false, 0.1}};

}  // namespace

TEST_CASE("an update by a gradient's factors is the one by the gradient", "[unit]") {
  for (const train::OptimizerSpec& spec : kByFactors) {
    CAPTURE(spec.momentum.value(), spec.nesterov);
    for (const double longest : {0.0, 3.0}) {
      Wide by_factors(true), by_gradient(false);
      const at::Tensor factors = after_three_steps(by_factors, spec, longest);
      const at::Tensor gradient = after_three_steps(by_gradient, spec, longest);
      CHECK((factors - gradient).abs().max().item<double>() < 1e-5);
      CHECK(tensor::relative_difference(factors, gradient) < 1e-6);
      CHECK(at::allclose(by_factors.bias, by_gradient.bias, 1e-6, 1e-6));
    }
  }
}

TEST_CASE("an update by factors gives the same bits on one thread and on several", "[unit]") {
  Wide one(true), several(true);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  after_three_steps(one, kByFactors.back());
  at::set_num_threads(3);
  after_three_steps(several, kByFactors.back());
  at::set_num_threads(threads);
  CHECK(at::equal(one.weight, several.weight));
}

TEST_CASE("sgd wants factors where the CPU has what they need, other rules do not", "[unit]") {
  Wide wide(true);
  for (const train::OptimizerSpec& spec : kByFactors) {
    const auto optimizer = optimizer_of(wide, spec);
    CHECK(wide.outer.is_wanted() == train::has_factor_update());
  }
  for (const train::OptimizerSpec& spec : kByGradient) {
    const auto optimizer = optimizer_of(wide, spec);
    CHECK_FALSE(wide.outer.is_wanted());
  }
}

TEST_CASE("updates give the same bits every time, in one go and after a restart", "[unit]") {
  std::vector<train::OptimizerSpec> specs = kByFactors;
  specs.insert(specs.end(), kByGradient.begin(), kByGradient.end());
  for (const bool is_by_factors : {true, false}) {
    for (const train::OptimizerSpec& spec : specs) {
      INFO(spec.name);
      Wide once(is_by_factors), twice(is_by_factors), restarted(is_by_factors);
      const at::Tensor expected = after_three_steps(once, spec);
      CHECK(at::equal(expected, after_three_steps(twice, spec)));
      std::vector<tensor::NamedTensor> state;
      for (int step = 0; step < 3; ++step) {
        const auto optimizer = optimizer_of(restarted, spec);
        optimizer->restore(state);
        restarted.put_gradients(step);
        optimizer->step(0.01);
        state = tensor::snapshot(optimizer->state());
      }
      CHECK(at::equal(expected, restarted.weight));
    }
  }
}

TEST_CASE("the length of a gradient is that of its factors' product", "[unit]") {
  Wide by_factors(true), by_gradient(false);
  by_factors.outer.want(true);
  by_factors.put_gradients(0);
  by_gradient.put_gradients(0);
  const double expected = std::sqrt(by_gradient.weight.grad().to(at::kDouble).square().sum().item<double>() +
                                    by_gradient.bias.grad().to(at::kDouble).square().sum().item<double>());
  CHECK(train::clip_gradient(by_factors, 1e9) == Approx(expected).epsilon(1e-6));
  CHECK(train::clip_gradient(by_gradient, 1e9) == Approx(expected).epsilon(1e-6));
  CHECK(train::clip_gradient(by_factors, 1) == Approx(expected).epsilon(1e-6));
  CHECK(train::clip_gradient(by_factors, 1e9) == Approx(1).epsilon(1e-6));
}

TEST_CASE("the size of an update is told the same by factors", "[unit]") {
  std::vector<std::vector<train::UpdateSize>> sizes;
  for (const bool is_by_factors : {true, false}) {
    Wide wide(is_by_factors);
    const auto before = tensor::snapshot(wide.parameters());
    const auto optimizer = optimizer_of(wide, {"sgd", 0, false, 0});
    wide.put_gradients(0);
    optimizer->step(2e-8);  // too small for the larger weights
    sizes.push_back(train::update_sizes(before, wide.parameters(), wide.outer_gradients()));
    const at::Tensor change = (wide.weight - before[0].value).detach().to(at::kDouble);
    CHECK(sizes.back()[0].ratio ==
          Approx(change.norm().item<double>() / before[0].value.to(at::kDouble).norm().item<double>()));
  }
  CHECK(sizes[0][0].ratio == Approx(sizes[1][0].ratio).epsilon(1e-3));
  CHECK(sizes[0][0].still == Approx(sizes[1][0].still).epsilon(1e-3));
  CHECK(sizes[0][0].still > 0.2);
  CHECK(sizes[0][0].still < 1);
}

TEST_CASE("an optimiser that ends leaves no gradient and no wish for factors", "[unit]") {
  Wide wide(true);
  {
    const auto optimizer = optimizer_of(wide, {"sgd", 0.9, false, 0});
    wide.outer.put(wide.weight, wide.weight);
    CHECK_THROWS_AS(wide.outer.put(wide.bias, wide.bias), std::logic_error);
  }
  CHECK_FALSE(wide.outer.is_wanted());
  CHECK(wide.outer.is_empty());
  CHECK_FALSE(wide.bias.grad().defined());
}
