#include <ATen/ATen.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "engine/engine.h"
#include "engine/folded_norms.h"
#include "engine/frozen_graph.h"
#include "engine/packed_convolutions.h"
#include "engine/parity.h"
#include "graph/nodes.h"
#include "graph/surgery.h"
#include "support/nets.h"
#include "support/support.h"

using namespace engraft;
using torch::jit::Module;

namespace {

engine::EngineOptions options_of(int64_t batch, int size_px = 32) {
  engine::EngineOptions options{{}, batch, at::kCPU};
  options.preprocessing.size_px = size_px;
  return options;
}

engine::EngineOptions frozen(engine::EngineOptions options) {
  options.is_frozen = true;
  return options;
}

at::Tensor noise(int64_t batch, int size_px = 32) {
  at::manual_seed(3);
  return at::randint(0, 256, {batch, size_px, size_px, 3}, at::kByte);
}

std::vector<at::Tensor> run(const Module& module, const engine::EngineOptions& options, const at::Tensor& pixels,
                            const std::string& method = "forward") {
  return engine::make_torch_engine(module, method, options)->run(pixels.const_data_ptr<uint8_t>());
}

/// Largest difference over the RMS of `expected`.
double difference(const at::Tensor& found, const at::Tensor& expected) {
  REQUIRE(found.sizes() == expected.sizes());
  return ((found - expected).abs().max() / expected.pow(2).mean().sqrt()).item<double>();
}

// Folding moves a rounding from the norm into the weights: 2^-24 of each product, summed over tens of them. Seen here
// 3.1e-6 (of squares 8.0e-6), in whole networks of torchvision 7.3e-6.
constexpr double kRounding = 1e-5;

/// A module with weights of every kind of convolution, and norm(x) of eight channels; `forward` is the body of its
/// forward(x).
Module net(const std::string& forward) {
  at::manual_seed(5);
  Module module("__torch__.test.Folded");
  module.register_attribute("training", c10::BoolType::get(), false);
  const auto add = [&](const char* name, std::vector<int64_t> sizes) {
    module.register_parameter(name, at::randn(sizes) * 0.3, false);
  };
  add("dense", {8, 3, 3, 3});
  add("grouped", {8, 2, 3, 3});
  add("depthwise", {8, 1, 3, 3});
  add("back", {3, 8, 3, 3});
  add("bias", {8});
  add("shift", {8});
  module.register_parameter("scale", at::rand({8}) + 0.5, false);
  module.register_buffer("mean", at::randn({8}) * 0.3);
  module.register_buffer("variance", at::rand({8}) + 0.5);
  module.define(
      "def norm(self, x: Tensor) -> Tensor:\n"
      "  assert x.dim() == 4, 'expected 4D input'\n"
      "  return torch.batch_norm(x, self.scale, self.shift, self.mean, self.variance, self.training, 0.1, 1e-3, "
      "False)\n"
      "def first(self, x: Tensor) -> Tensor:\n"
      "  return torch.conv2d(x, self.dense, self.bias, [1, 1], [1, 1])\n"
      "def forward(self, x: Tensor) -> Tensor:\n" +
      forward);
  return module;
}

struct Operators {
  int64_t convolutions = 0, packed = 0, norms = 0, relus = 0;
};

/// What is left of them.
Operators operators_of(const Module& module) {
  const at::NoGradGuard no_grad;
  const auto graph = engine::frozen_graph(module, "forward", {2, 3, 32, 32}, engine::Lowering::kPlain);
  engine::fold_norms(graph);
  engine::pack_convolutions(graph, {2, 3, 32, 32});
  Operators found;
  graph::for_each_node(graph->block(), [&](const torch::jit::Node* node) {
    const std::string kind = node->kind().toQualString();
    found.convolutions += kind == "aten::conv2d" || kind == "aten::_convolution";
    found.packed += kind == "mkldnn::_convolution_pointwise";
    found.norms += kind == "aten::batch_norm";
    found.relus += kind == "aten::relu" || kind == "aten::relu_" || kind == "aten::relu6";
  });
  return found;
}

}  // namespace

TEST_CASE("every kind of convolution is folded and packed, and gives what the plain engine gives", "[unit]") {
  struct Row {
    const char* name;
    const char* forward;
    Operators left;
  };
  const auto row = GENERATE(
      Row{"norm and relu", "  return torch.relu(self.norm(self.first(x)))\n", {0, 1, 0, 0}},
      Row{"relu in place", "  return torch.relu_(self.norm(self.first(x)))\n", {0, 1, 0, 0}},
      Row{"relu6", "  return torch.relu6(self.norm(self.first(x)))\n", {0, 1, 0, 0}},
      Row{"no bias, stride", "  return self.norm(torch.conv2d(x, self.dense, None, [2, 2], [1, 1]))\n", {0, 1, 0, 0}},
      Row{"padding of one number, dilated",
          "  return self.norm(torch.conv2d(x, self.dense, None, 1, 2, [2, 2]))\n",
          {0, 1, 0, 0}},
      Row{"padding in words",
          "  return self.norm(torch.conv2d(x, self.dense, self.bias, [1, 1], 'same'))\n",
          {1, 0, 1, 0}},
      Row{"grouped",
          "  return self.norm(torch.conv2d(self.first(x), self.grouped, None, [1, 1], [1, 1], [1, 1], 4))\n",
          {0, 2, 0, 0}},
      Row{"depthwise",
          "  h = torch.conv2d(torch.relu(self.first(x)), self.depthwise, self.bias, [1, 1], [1, 1], [1, 1], "
          "8)\n  return torch.relu(self.norm(h))\n",
          {0, 2, 0, 0}},
      Row{"as traces write it",
          "  return self.norm(torch._convolution(x, self.dense, None, [1, 1], [1, 1], [1, 1], False, [0, 0], "
          "1, False, False, True, True))\n",
          {0, 1, 0, 0}},
      Row{"transposed stays",
          "  h = torch._convolution(x, self.back, None, [1, 1], [1, 1], [1, 1], True, [0, 0], 1, False, "
          "False, True, True)\n  return self.norm(h)\n",
          {1, 0, 1, 0}},
      Row{"a norm without scale and shift",
          "  return torch.batch_norm(self.first(x), None, None, self.mean, self.variance, False, 0.1, 1e-5, "
          "False)\n",
          {0, 1, 0, 0}},
      Row{"no norm", "  return torch.sigmoid(self.first(x))\n", {0, 1, 0, 0}},
      Row{"a norm of its own", "  return self.norm(torch.sigmoid(self.first(x)))\n", {0, 1, 1, 0}},
      Row{"weights that are computed",
          "  return self.norm(torch.conv2d(x, self.dense * x.mean(), None, [1, 1], [1, 1]))\n",
          {1, 0, 1, 0}});
  CAPTURE(row.name);
  const Module module = net(row.forward);
  const Operators left = operators_of(module);
  CHECK(left.convolutions == row.left.convolutions);
  CHECK(left.packed == row.left.packed);
  CHECK(left.norms == row.left.norms);
  CHECK(left.relus == row.left.relus);
  for (const int64_t batch : {1, 3}) {
    const at::Tensor pixels = noise(batch), plain = run(module, options_of(batch), pixels)[0];
    const at::Tensor folded = run(module, frozen(options_of(batch)), pixels)[0];
    CHECK(difference(folded, plain) < kRounding);
    CHECK(folded.is_contiguous(at::MemoryFormat::ChannelsLast) == plain.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
}

TEST_CASE("values that others read or write keep their meaning", "[unit]") {
  const char* forward = GENERATE("  h = self.first(x)\n  return self.norm(h) * h\n",        // read twice
                                 "  h = self.first(x)\n  return torch.relu(h) - h\n",       // read twice, no norm
                                 "  h = self.first(x)\n  r = h.relu_()\n  return h + r\n",  // written
                                 "  h = self.first(x)\n  r = h.relu_()\n  return self.norm(h)\n",
                                 "  h = self.first(x)\n  n = self.norm(h)\n  r = h.relu_()\n  return n + h\n",
                                 "  y = x * 2\n  h = self.first(y)\n  r = y.zero_()\n  return self.norm(h)\n",
                                 "  h = self.norm(self.first(x))\n  r = h.relu_()\n  return h.add_(r)\n");
  CAPTURE(forward);
  const Module module = net(forward);
  const at::Tensor pixels = noise(2);
  CHECK(difference(run(module, frozen(options_of(2)), pixels)[0], run(module, options_of(2), pixels)[0]) < kRounding);
}

TEST_CASE("without norms the packed network gives the plain one's bytes", "[unit]") {
  const Module module = net("  return torch.relu(self.first(x))\n");
  const at::Tensor pixels = noise(3);
  CHECK(at::equal(run(module, frozen(options_of(3)), pixels)[0], run(module, options_of(3), pixels)[0]));
}

TEST_CASE("a weight that the network writes to is not folded", "[unit]") {
  const char* forward =
      "  r = self.bias.add_(1)\n  return self.norm(torch.conv2d(x, self.dense, self.bias, [1, 1], [1, 1]))\n";
  const at::Tensor pixels = noise(2);
  const auto engine = engine::make_torch_engine(net(forward), "forward", frozen(options_of(2)));
  const auto plain = engine::make_torch_engine(net(forward), "forward", options_of(2));
  CHECK(engine->name() == "torch f32");
  for (int times = 0; times < 2; ++times) {
    CHECK(at::equal(engine->run(pixels.const_data_ptr<uint8_t>())[0], plain->run(pixels.const_data_ptr<uint8_t>())[0]));
  }
}

TEST_CASE("folding leaves the module as it was", "[unit]") {
  const Module module = graph::extract(test::small_net(), {"mixed_2"});
  engine::prepare_module(module, at::kCPU);
  std::vector<at::Tensor> shared, values;
  for (const at::Tensor& tensor : module.parameters()) shared.push_back(tensor);
  for (const at::Tensor& tensor : module.buffers()) shared.push_back(tensor);
  std::vector<const void*> places;
  for (const at::Tensor& tensor : shared) {
    values.push_back(tensor.clone());
    places.push_back(tensor.const_data_ptr());
  }
  const std::string before = module.dump_to_str(true, false, false);
  const at::Tensor pixels = noise(2), plain = run(module, options_of(2), pixels)[0];
  run(module, frozen(options_of(2)), pixels);
  CHECK(module.dump_to_str(true, false, false) == before);
  for (size_t i = 0; i < shared.size(); ++i) {
    CHECK(at::equal(shared[i], values[i]));
    CHECK(shared[i].const_data_ptr() == places[i]);
  }
  CHECK(at::equal(run(module, options_of(2), pixels)[0], plain));
}

TEST_CASE("norms in training mode, and what is not frozen, take the plain path", "[unit]") {
  Module module = graph::extract(test::small_net(), {"mixed_2"});
  const engine::EngineOptions options = options_of(2);
  CHECK(engine::engine_name(frozen(options)) == "torch f32 folded");
  CHECK(engine::make_torch_engine(module, "forward", frozen(options))->name() == "torch f32 folded");
  CHECK(engine::make_torch_engine(module, "forward", options)->name() == "torch f32");
  module.train();
  CHECK(engine::make_torch_engine(module, "forward", frozen(options))->name() == "torch f32");
}

TEST_CASE("a folded network is compared with the plain one before it is taken, once for all methods", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options = frozen(options_of(4));
  options.kind = engine::EngineKind::kTorch;
  const auto engine = engine::make_engine(body, "forward", options);
  CHECK(engine->name() == "torch f32 folded");
  CHECK(engine->report().difference >= 0);
  CHECK(engine->report().difference < engine::parity_bound(options.precision));
  CHECK(engine->options().batch_size == 4);
  CHECK(engine->options().is_compared);
  const auto again = engine::make_engine(body, "forward", engine->options());
  CHECK(again->name() == engine->name());
  CHECK(again->report().difference < 0);
  const at::Tensor pixels = noise(4);
  CHECK(at::equal(again->run(pixels.const_data_ptr<uint8_t>())[0], engine->run(pixels.const_data_ptr<uint8_t>())[0]));
}

TEST_CASE("what cannot be folded is run as it is, and its options say so", "[unit]") {
  Module body = graph::extract(test::small_net(), {"mixed_2"});
  body.train();
  engine::EngineOptions options = frozen(options_of(2));
  options.kind = engine::EngineKind::kTorch;
  const auto engine = engine::make_engine(body, "forward", options);
  CHECK(engine->name() == "torch f32");
  CHECK_FALSE(engine->options().is_frozen);
  CHECK(engine->report().difference < 0);
  CHECK(engine->report().fallback.empty());
}

TEST_CASE("a folded network that computes something else is not taken, said aloud", "[unit]") {
  // The sine of large numbers turns a rounding into another value.
  const Module module = net("  h = self.norm(self.first(x))\n  return (h * 1e6).sin()\n");
  engine::EngineOptions options = frozen(options_of(2));
  options.kind = engine::EngineKind::kTorch;
  const auto engine = engine::make_engine(module, "forward", options);
  CHECK(engine->name() == "torch f32");
  CHECK_THAT(engine->report().fallback, Catch::StartsWith("torch f32 folded: its outputs differ from LibTorch's by ") &&
                                            Catch::EndsWith("LibTorch as it is instead"));
}

TEST_CASE("a weight that is NaN is not hidden by a fused relu", "[unit]") {
  const Module module = net("  return torch.relu(self.norm(self.first(x)))\n");
  const at::NoGradGuard no_grad;
  module.attr("mean").toTensor().fill_(std::nan(""));
  const auto engine = engine::make_torch_engine(module, "forward", frozen(options_of(1)));
  CHECK(engine->name() == "torch f32");
  CHECK(engine->run(noise(1).const_data_ptr<uint8_t>())[0].isnan().all().item<bool>());
}

TEST_CASE("a value has the same bytes alone, among others, in a trunk and in a collection", "[unit]") {
  const std::vector<std::string> taps = {"stem.conv", "stem.bn", "mixed_1", "mixed_2"};
  const at::Tensor pixels = noise(4);
  const auto options = frozen(options_of(4));
  const auto together = run(graph::extract(test::small_net(), taps), options, pixels);
  for (size_t i = 0; i < taps.size(); ++i) {
    CAPTURE(taps[i]);
    CHECK(at::equal(run(graph::extract(test::small_net(), {taps[i]}), options, pixels)[0], together[i]));
  }
  Module body = graph::extract(test::small_net(), {"mixed_2"});
  const auto collected = run(body, options, pixels, graph::collect(body, {"stem", "mixed_1"}));
  const std::string trunk = graph::split(body, "mixed_1").trunk_method;
  CHECK(at::equal(run(body, options, pixels, trunk)[0], collected[1]));
  CHECK(at::equal(collected[1], together[2]));
  CHECK(at::equal(collected[2], together[3]));
}

TEST_CASE("folded rows depend neither on their neighbours nor on their place, and runs repeat", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  const auto engine = engine::make_torch_engine(body, "forward", frozen(options_of(4)));
  const at::Tensor pixels = noise(4), turned = pixels.flip({0}).contiguous();
  const at::Tensor whole = engine->run(pixels.const_data_ptr<uint8_t>())[0];
  CHECK(at::equal(engine->run(turned.const_data_ptr<uint8_t>())[0].flip({0}), whole));
  at::Tensor alone = pixels.clone();
  alone.narrow(0, 1, 3).zero_();
  CHECK(at::equal(engine->run(alone.const_data_ptr<uint8_t>())[0][0], whole[0]));
  CHECK(at::equal(engine->run(pixels.const_data_ptr<uint8_t>())[0], whole));
  CHECK(at::equal(run(body, frozen(options_of(4)), pixels)[0], whole));
}

TEST_CASE("folded networks take BGR, and the means and deviations of their preprocessing", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options = options_of(2);
  options.preprocessing.channels = "bgr";
  options.preprocessing.mean = {0.4, 0.5, 0.6};
  options.preprocessing.std = {0.2, 0.3, 0.4};
  const at::Tensor pixels = noise(2);
  CHECK(difference(run(body, frozen(options), pixels)[0], run(body, options, pixels)[0]) < kRounding);
}

TEST_CASE("a folded network in bf16 is as near to float32 as a plain one, and repeats", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  const at::Tensor pixels = noise(2), exact = run(body, options_of(2), pixels)[0];
  engine::EngineOptions options = options_of(2);
  options.precision = tensor::Precision::kBfloat16;
  const at::Tensor plain = run(body, options, pixels)[0], folded = run(body, frozen(options), pixels)[0];
  CHECK(engine::make_torch_engine(body, "forward", frozen(options))->name() ==
        engine::engine_name(options) + " folded");
  CHECK(folded.scalar_type() == at::kFloat);
  CHECK((folded - exact).norm().item<double>() < 1.5 * (plain - exact).norm().item<double>());
  CHECK(at::equal(run(body, frozen(options), pixels)[0], folded));
}

TEST_CASE("the shared Inception, which has no norms, gives the plain engine's bytes at several taps", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  Module source = torch::jit::load(shared + "/weights/inception_v3_mixed8.pt");
  source.eval();
  const std::vector<std::string> taps = {"mixed", "mixed_3", "mixed_6"};
  const at::Tensor pixels = noise(5, 150);
  const engine::EngineOptions options = options_of(5, 150);
  const auto together = run(graph::extract(source, taps), frozen(options), pixels);
  const auto plain = run(graph::extract(source, taps), options, pixels);
  for (size_t i = 0; i < taps.size(); ++i) {
    CAPTURE(taps[i]);
    CHECK(at::equal(together[i], plain[i]));
    CHECK(at::equal(run(graph::extract(source, {taps[i]}), frozen(options), pixels)[0], together[i]));
  }
  Module body = graph::extract(source, {"mixed_6"});
  const auto collected = run(body, frozen(options), pixels, graph::collect(body, {"mixed_3"}));
  CHECK(at::equal(collected[0], together[1]));
  CHECK(at::equal(collected[1], together[2]));
}
