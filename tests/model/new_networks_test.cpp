#include "model/new_networks.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "graph/audit.h"
#include "graph/norms.h"
#include "graph/probe.h"
#include "graph/surgery.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "model/artifact.h"
#include "model/backbone.h"
#include "model/freeze.h"
#include "support/nets.h"
#include "support/support.h"

using namespace engraft;
using Names = std::vector<std::string>;
using torch::jit::Module;

namespace {

const Names kMiniBlocks = {"stem", "mixed_1", "mixed_2", "mixed_3", "mixed_4", "mixed_5", "mixed_6", "mixed_7"};

model::Backbone load(const std::string& path, uint64_t seed = 42) {
  model::BackboneOptions options;
  options.path = path;
  options.seed = seed;
  return model::load_backbone(options);
}

/// Standard normal noise [rows, 3, size, size].
at::Tensor pictures(int64_t rows, int64_t size, uint64_t key) {
  at::Tensor x = at::empty({rows, 3, size, size}, at::kFloat);
  RandomStream stream(1, {key});
  float* values = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(stream.normal());
  return x;
}

at::Tensor parameter(const Module& module, const std::string& name) {
  for (const auto& item : module.named_parameters(true)) {
    if (item.name == name) return item.value;
  }
  FAIL("no parameter " << name);
  return {};
}

}  // namespace

TEST_CASE("a name with the prefix is a network from scratch, and an unknown one names the known", "[unit]") {
  CHECK(model::is_new_network("new:cnn3"));
  CHECK_FALSE(model::is_new_network("./new:cnn3"));
  CHECK_FALSE(model::is_new_network("new.pt"));
  CHECK_THROWS_AS(load("new:resnet"), UsageError);
  CHECK_THROWS_WITH(model::new_network("cnn4", 1),
                    "no network 'cnn4' to train from scratch; did you mean 'cnn3'?; known: cnn3 inception-mini");
}

TEST_CASE("the same seed gives the same bytes whatever the process did before", "[module]") {
  for (const std::string& name : model::new_network_names()) {
    INFO(name);
    const std::string first = model::new_network(name, 42);
    test::small_net();
    load("new:" + name, 7);
    const c10::NoGradGuard no_grad;
    const bool same = model::new_network("new:" + name, 42) == first,
               other_seed = model::new_network(name, 43) == first;
    CHECK(same);
    CHECK_FALSE(other_seed);
    CHECK(load("new:" + name).sha256 == io::sha256(first));
  }
}

TEST_CASE("the bytes are a file like any other: the audit passes, and it loads to the same weights", "[module]") {
  test::TempFolder folder;
  for (const std::string& name : model::new_network_names()) {
    INFO(name);
    io::write_file(folder / "net.pt", model::new_network(name, 42));
    CHECK(graph::audit(folder / "net.pt").empty());
    const model::Backbone file = load(folder / "net.pt"), drawn = load("new:" + name);
    CHECK(drawn.is_new);
    CHECK_FALSE(file.is_new);
    CHECK(drawn.path == "new:" + name);
    CHECK(file.sha256 == drawn.sha256);
    CHECK(file.preprocessing == drawn.preprocessing);
    const at::Tensor x = model::probe_input(drawn.preprocessing, 2);
    c10::NoGradGuard no_grad;
    Module a = file.module, b = drawn.module;
    CHECK(at::equal(a.forward({x}).toTensor(), b.forward({x}).toTensor()));
  }
}

TEST_CASE("cnn3 is the exercise's network", "[module]") {
  const model::Backbone net = load("new:cnn3");
  CHECK(model::block_names(net.anatomy) == Names{"conv_1", "conv_2", "conv_3"});
  CHECK(net.preprocessing.size_px == 150);
  CHECK(net.preprocessing.resize == "squash");
  CHECK(net.preprocessing.mean == std::array<double, 3>{0, 0, 0});
  CHECK(net.preprocessing.std == std::array<double, 3>{1, 1, 1});
  const auto probes = graph::probe(net.module, net.anatomy, model::probe_input(net.preprocessing, 1));
  CHECK(probes[0].output_shape == std::vector<int64_t>{1, 16, 74, 74});
  CHECK(probes[1].output_shape == std::vector<int64_t>{1, 32, 36, 36});
  CHECK(probes[2].output_shape == std::vector<int64_t>{1, 64, 17, 17});
  // What Keras counts for the three layers.
  CHECK(probes[0].parameters == 448);
  CHECK(probes[1].parameters == 4640);
  CHECK(probes[2].parameters == 18496);
  const at::Tensor weight = parameter(net.module, "conv_2.weight");
  const double bound = std::sqrt(6.0 / ((16 + 32) * 9));
  CHECK(weight.abs().max().item<double>() <= bound);
  CHECK(weight.abs().max().item<double>() > 0.99 * bound);
  // Uniform: bound / sqrt(3); 4,608 draws tell the deviation to 1 %, three of which are 3 %.
  CHECK(weight.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.03));
  CHECK(parameter(net.module, "conv_2.bias").abs().max().item<double>() == 0);
  CHECK(graph::norm_layers(net.module).empty());
}

TEST_CASE("inception-mini keeps to its size, and every block may be tapped and cut", "[module]") {
  const model::Backbone net = load("new:inception-mini");
  CHECK(model::block_names(net.anatomy) == kMiniBlocks);
  CHECK(net.preprocessing.size_px == 128);
  CHECK(net.preprocessing.crop_ratio == 0.875);
  CHECK(net.preprocessing.mean == image::Preprocessing().mean);
  for (const graph::BlockInfo& block : net.anatomy.blocks()) {
    INFO(block.name << " " << block.why_not);
    CHECK(block.can_tap);
    CHECK(block.legal_cut);
  }
  CHECK(net.anatomy.cuts_behind("mixed_2") == Names{"mixed_2", "mixed_2+1"});
  CHECK(model::resolve_taps(net, "") == Names{"mixed_7"});
  const auto probes = graph::probe(net.module, net.anatomy, model::probe_input(net.preprocessing, 1));
  int64_t parameters = 0, flops = 0;
  for (const auto& block : probes) parameters += block.parameters, flops += block.flops;
  CHECK(parameters <= 4'000'000);
  CHECK(parameters >= 2'000'000);
  CHECK(flops <= 1'000'000'000);
  CHECK(probes.back().output_shape == std::vector<int64_t>{1, 960, 8, 8});
}

TEST_CASE("inception-mini computes what the whole does at every tap and cut, from 64 to 299 px", "[module]") {
  const model::Backbone net = load("new:inception-mini");
  Module whole = net.module;
  c10::NoGradGuard no_grad;
  for (const int64_t size : {64, 75, 299}) {
    INFO(size);
    const at::Tensor out = whole.forward({pictures(1, size, 3)}).toTensor();
    const int64_t side = (size + 15) / 16;
    CHECK(out.sizes() == at::IntArrayRef({1, 960, side, side}));
  }
  const at::Tensor x = pictures(2, 64, 3), expected = whole.forward({x}).toTensor();
  for (const std::string& name : kMiniBlocks) {
    INFO(name);
    Module body = graph::extract(net.module, {"mixed_7"});
    for (const std::string& cut : net.anatomy.cuts_behind(name)) {
      const graph::Split split = graph::split(body, cut);
      const auto h = body.get_method(split.trunk_method)({x});
      CHECK(at::equal(body.get_method(split.top_method)({h}).toTensor(), expected));
    }
  }
}

TEST_CASE("inception-mini starts as He et al. would have it, with norms that are seen as norms", "[module]") {
  const model::Backbone net = load("new:inception-mini");
  const at::Tensor weight = parameter(net.module, "mixed_7.three.conv.weight");
  REQUIRE(weight.sizes() == at::IntArrayRef({352, 160, 3, 3}));
  // 506,880 draws tell a deviation to 0.10 %, a mean to 0.14 % of it: four of each.
  const double deviation = std::sqrt(2.0 / (352 * 9));
  CHECK(weight.std().item<double>() == Approx(deviation).epsilon(0.005));
  CHECK(std::abs(weight.mean().item<double>()) < 0.007 * deviation);
  const auto norms = graph::norm_layers(net.module);
  CHECK(norms.size() == 2 + 7 * 7);
  CHECK(norms[0].path == "stem.conv_1.norm");
  for (const auto& item : net.module.named_modules()) {
    if (item.name != "mixed_4.seven_2.norm") continue;
    CHECK(item.value.hasattr("training"));
    CHECK(at::equal(item.value.attr("weight").toTensor(), at::ones({80})));
    CHECK(at::equal(item.value.attr("running_var").toTensor(), at::ones({80})));
    CHECK(item.value.attr("num_batches_tracked").toTensor().item<int64_t>() == 0);
  }
}

TEST_CASE("both networks learn, and running statistics move in train mode alone", "[module]") {
  const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);  // as training runs them
  for (const std::string& name : model::new_network_names()) {
    INFO(name);
    Module net = load("new:" + name).module;
    model::FreezePlan plan = model::plan_freeze("all", model::block_names(load("new:" + name).anatomy));
    plan.norms = model::NormPolicy::kTrain;
    model::set_modes(net, plan, true);
    // Two classes that differ in brightness: 8 pictures, learned by heart.
    at::Tensor x = pictures(8, 64, 5);
    x.slice(0, 0, 4).add_(1);
    const at::Tensor target = at::tensor({1, 1, 1, 1, 0, 0, 0, 0}, at::kFloat);
    std::vector<at::Tensor> weights;
    for (const auto& item : model::learning_parameters(net, plan)) weights.push_back(item.value);
    constexpr int kSteps = 10;
    double first = 0, last = 0;
    for (int step = 0; step < kSteps; ++step) {
      const at::Tensor logits = net.forward({x}).toTensor().mean({1, 2, 3}) - 0.4;  // [B]
      const at::Tensor loss = at::binary_cross_entropy_with_logits(logits, target);
      last = loss.item<double>();
      if (step == 0) first = last;
      const auto gradients = torch::autograd::grad({loss}, weights);
      c10::NoGradGuard no_grad;
      for (size_t i = 0; i < weights.size(); ++i) {
        REQUIRE(at::isfinite(gradients[i]).all().item<bool>());
        weights[i].add_(gradients[i], -0.3);
      }
    }
    CHECK(last < 0.9 * first);
    for (const auto& item : net.named_buffers(true)) {
      if (item.name.find("num_batches_tracked") != std::string::npos) CHECK(item.value.item<int64_t>() == kSteps);
    }
    const auto trained = tensor::snapshot(model::learning_tensors(net, plan));
    model::set_modes(net, plan, false);
    c10::NoGradGuard no_grad;
    net.forward({x});
    CHECK(tensor::digest(model::learning_tensors(net, plan)) == tensor::digest(trained));
  }
}

TEST_CASE("a model composed from a new network reloads to the logits of memory, with what was trained", "[module]") {
  test::TempFolder folder;
  const model::Backbone backbone = load("new:inception-mini", 9);
  Module body = graph::extract(backbone.module, {"mixed_7"});
  model::FreezePlan plan = model::plan_freeze("mixed_6", kMiniBlocks);
  plan.norms = model::NormPolicy::kTrain;
  model::set_modes(body, plan, true);
  c10::NoGradGuard no_grad;
  body.forward({pictures(4, 64, 6)});
  model::set_modes(body, plan, false);

  model::HeadOptions head_options;
  head_options.embedding_dim = 960;
  head_options.outputs = 3;
  const model::Head head(head_options);
  model::GraftSpec spec;
  spec.backbone_path = backbone.path;
  spec.backbone_sha256 = backbone.sha256;
  spec.seed = 9;
  spec.tap = "mixed_7";
  spec.preprocessing = backbone.preprocessing;
  spec.classes = {"ants", "bees", "cats"};
  spec.trained = model::learning_tensors(body, plan);
  io::write_file(folder / "model.pt", model::compose_model(spec, head));
  const bool same_bytes = model::compose_model(spec, head) == io::read_file(folder / "model.pt");
  CHECK(same_bytes);

  model::Artifact artifact = model::load_artifact(folder / "model.pt", false);
  const at::Tensor x = pictures(2, 128, 7);
  const at::Tensor memory = head.forward(model::pooled(body.forward({x}).toTensor(), model::Pool::kAverage));
  CHECK(at::equal(artifact.module.forward({x}).toTensor(), memory));
  spec.seed = 10;
  CHECK_THROWS_WITH(model::compose_model(spec, head), Catch::Contains("seed 10 gives other weights"));
}
