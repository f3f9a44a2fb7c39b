#include "model/norm_recalibration.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <limits>

#include "base/errors.h"
#include "base/random.h"
#include "graph/surgery.h"
#include "support/nets.h"

using namespace engraft;
using torch::jit::Module;

namespace {

const std::vector<std::string> kBlocks = {"stem", "mixed_1", "mixed_2"};

at::Tensor pictures(int64_t rows, uint64_t key) {
  at::Tensor x = at::empty({rows, 3, 16, 16}, at::kFloat);
  RandomStream stream(1, {key});
  float* values = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(stream.normal());
  return x;
}

Module child(const Module& module, const std::string& name) { return module.attr(name).toModule(); }

/// Mean and unbiased variance of each channel, over rows and places, weighted by rows over the batches.
struct Expected {
  at::Tensor mean, variance;  // float64 [C]
  int64_t rows = 0;
  void add(const at::Tensor& input) {
    const at::Tensor x = input.to(at::kDouble).transpose(0, 1).flatten(1);  // [C, B·H·W]
    const double weight = static_cast<double>(input.size(0));
    if (rows == 0) mean = variance = at::zeros({x.size(0)}, at::kDouble);
    mean = mean + x.mean(1) * weight;
    variance = variance + x.var(1, /*unbiased=*/true) * weight;
    rows += input.size(0);
  }
};

/// Largest difference relative to the largest value. Float32 sums of 1,000 numbers err by about 1e-6.
constexpr double kTolerance = 3e-6;

void check_statistics(const Module& norm, const Expected& expected) {
  const double rows = static_cast<double>(expected.rows);
  CHECK(tensor::relative_difference(norm.attr("running_mean").toTensor(), expected.mean / rows) < kTolerance);
  CHECK(tensor::relative_difference(norm.attr("running_var").toTensor(), expected.variance / rows) < kTolerance);
}

/// One norm of four channels as a block, whose forward is `source`.
Module one_norm(const std::string& source, const c10::IValue& momentum) {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  Module norm("__torch__.test.OneNorm", unit);
  norm.register_attribute("training", c10::BoolType::get(), false);
  norm.register_buffer("running_mean", at::full({3}, 0.3f));
  norm.register_buffer("running_var", at::full({3}, 0.7f));
  norm.register_buffer("num_batches_tracked", at::full({}, 5, at::kLong));
  norm.register_parameter("weight", at::ones({3, 3, 1, 1}), false);
  norm.register_attribute("momentum", momentum.isNone() ? c10::NoneType::get() : momentum.type(), momentum);
  norm.define(source);
  Module net("__torch__.test.OneNormNet", unit);
  net.register_attribute("training", c10::BoolType::get(), false);
  net.register_module("norm", norm);
  net.define("def forward(self, x: Tensor) -> Tensor:\n  return self.norm.forward(x)\n");
  return net;
}

std::string norm_source(const std::string& momentum) {
  return "def forward(self, x: Tensor) -> Tensor:\n"
         "  if self.training:\n    self.num_batches_tracked.add_(1)\n"
         "  return torch.batch_norm(x, None, None, self.running_mean, self.running_var, self.training, " +
         momentum + ", 0.00001, True)\n";
}

}  // namespace

TEST_CASE("recalibrated statistics are the row-weighted averages of the batches'", "[unit]") {
  c10::NoGradGuard no_grad;
  Module body = graph::extract(test::small_net(), {"mixed_2"});
  model::FreezePlan plan = model::plan_freeze("mixed_1", kBlocks);
  plan.norms = model::NormPolicy::kRecalibrate;
  const auto frozen = tensor::digest(model::frozen_tensors(body, plan));
  const auto weights = tensor::digest(model::learning_parameters(body, plan));

  Expected first, second;
  model::NormRecalibration recalibration(body, plan);
  CHECK(recalibration.norms() == 2);
  for (const int64_t rows : {8, 8, 3}) {
    const at::Tensor x = pictures(rows, static_cast<uint64_t>(10 + first.rows));
    recalibration.before_batch();
    CHECK_FALSE(child(child(body, "stem"), "bn").is_training());
    CHECK_FALSE(child(body, "mixed_2").is_training());  // its dropout is off
    body.forward({x});
    recalibration.after_batch(rows);

    // By hand: mixed_1 reads its own batch, and mixed_2 what mixed_1 makes of that.
    const at::Tensor pooled = at::max_pool2d(child(body, "stem").forward({x}).toTensor(), {2, 2});
    Module mixed_1 = child(body, "mixed_1"), bn = child(mixed_1, "bn");
    const at::Tensor input = at::cat(
        {child(mixed_1, "left").forward({pooled}).toTensor(), child(mixed_1, "right").forward({pooled}).toTensor()}, 1);
    first.add(input);
    const at::Tensor normalised =
        at::batch_norm(input, bn.attr("weight").toTensor(), bn.attr("bias").toTensor(), {}, {}, true, 0, 1e-5, false);
    second.add(child(child(body, "mixed_2"), "conv").forward({normalised.relu()}).toTensor());
  }
  recalibration.finish();
  check_statistics(child(child(body, "mixed_1"), "bn"), first);
  check_statistics(child(child(body, "mixed_2"), "bn"), second);
  CHECK_FALSE(child(child(body, "mixed_2"), "bn").is_training());
  CHECK(tensor::digest(model::frozen_tensors(body, plan)) == frozen);
  CHECK(tensor::digest(model::learning_parameters(body, plan)) == weights);
}

TEST_CASE("a norm's momentum may be an attribute, a constant or the cumulative average", "[unit]") {
  c10::NoGradGuard no_grad;
  struct Row {
    const char* momentum;
    c10::IValue attribute;
  };
  for (const Row& row : {Row{"self.momentum", 0.01}, Row{"0.1", {}}, Row{"0.0003", {}}, Row{"1.0", {}},
                         Row{"1.0 / float(int(self.num_batches_tracked))", {}}}) {
    INFO(row.momentum);
    Module net = one_norm(norm_source(row.momentum), row.attribute);
    const model::FreezePlan plan = model::plan_freeze("all", {"norm"});
    model::NormRecalibration recalibration(net, plan);
    Expected expected;
    for (const int64_t rows : {5, 2}) {
      const at::Tensor x = pictures(rows, static_cast<uint64_t>(rows)) + 2;
      recalibration.before_batch();
      net.forward({x});
      recalibration.after_batch(rows);
      expected.add(x);
    }
    recalibration.finish();
    check_statistics(child(net, "norm"), expected);
    CHECK(child(net, "norm").attr("num_batches_tracked").toTensor().item<int64_t>() == 2);
  }
}

TEST_CASE("a norm that counts no batches, or is called twice, is measured as well", "[unit]") {
  c10::NoGradGuard no_grad;
  const at::Tensor x = pictures(4, 3) + 1;
  const model::FreezePlan plan = model::plan_freeze("all", {"norm"});
  for (const int calls : {1, 2}) {
    INFO(calls);
    std::string source = norm_source("0.1");
    if (calls == 1)
      source.replace(source.find("    self.num"), source.find("  return") - source.find("    self.num"), "    pass\n");
    Module net = one_norm(source, {});
    model::NormRecalibration recalibration(net, plan);
    recalibration.before_batch();
    for (int i = 0; i < calls; ++i) net.forward({x});
    recalibration.after_batch(4);
    recalibration.finish();
    Expected expected;
    expected.add(x);
    check_statistics(child(net, "norm"), expected);
  }
}

TEST_CASE("norms that no batch reached or that keep no average stay as they are", "[unit]") {
  c10::NoGradGuard no_grad;
  const model::FreezePlan plan = model::plan_freeze("all", {"norm"});
  Module net = one_norm(norm_source("0.1"), {});
  const std::string before = tensor::digest(model::learning_tensors(net, plan));
  SECTION("no batch at all") {
    model::NormRecalibration recalibration(net, plan);
    recalibration.finish();
  }
  SECTION("batches that pass it by") {
    model::NormRecalibration recalibration(net, plan);
    recalibration.before_batch();
    recalibration.after_batch(4);
    recalibration.finish();
  }
  SECTION("left unfinished") {
    model::NormRecalibration recalibration(net, plan);
    recalibration.before_batch();
    net.forward({pictures(4, 3)});
  }
  SECTION("a batch that is not finite") {
    model::NormRecalibration recalibration(net, plan);
    recalibration.before_batch();
    net.forward({pictures(4, 3) * std::numeric_limits<float>::infinity()});
    recalibration.after_batch(4);
    CHECK_THROWS_WITH(recalibration.finish(), Catch::Contains("'norm'") && Catch::Contains("not finite"));
  }
  CHECK(tensor::digest(model::learning_tensors(net, plan)) == before);
  CHECK_FALSE(child(net, "norm").is_training());

  Module still = one_norm(norm_source("0.0"), {});
  CHECK(model::NormRecalibration(still, plan).norms() == 0);
}

TEST_CASE("a module that does more than normalise is refused, its statistics as before", "[unit]") {
  c10::NoGradGuard no_grad;
  std::string source = norm_source("0.1");
  source.insert(source.find("  return"), "  x = torch.conv2d(x, self.weight)\n");
  Module net = one_norm(source, {});
  const model::FreezePlan plan = model::plan_freeze("all", {"norm"});
  child(net, "norm").attr("weight").toTensor()[0].mul_(2);
  const std::string before = tensor::digest(model::learning_tensors(net, plan));
  CHECK_THROWS_WITH(model::NormRecalibration(net, plan), Catch::Contains("does more than normalise"));
  CHECK(tensor::digest(model::learning_tensors(net, plan)) == before);
}
