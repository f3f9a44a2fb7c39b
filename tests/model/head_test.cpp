#include "model/head.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <sstream>

#include "base/errors.h"
#include "model/wide_linear.h"

using namespace engraft;
using model::Head;
using model::HeadLayer;

namespace {

Head make(const std::string& spec, int64_t inputs = 12, int64_t outputs = 3, uint64_t seed = 42) {
  model::HeadOptions options;
  options.embedding_dim = inputs;
  options.outputs = outputs;
  options.spec = spec;
  options.seed = seed;
  return Head(options);
}

}  // namespace

TEST_CASE("a head is read from its words", "[unit]") {
  const auto layers = model::parse_head("fc=1024, relu, dropout=0.2");
  REQUIRE(layers.size() == 3);
  CHECK(layers[0].width == 1024);
  CHECK(layers[1].kind == HeadLayer::Kind::kRelu);
  CHECK(layers[2].probability == 0.2);
  CHECK(model::parse_head("").empty());
  for (const char* bad : {"fc", "fc=0", "fc=1.5", "relu=1", "dropout", "dropout=1", "conv=3", "fc=8,,relu"}) {
    CHECK_THROWS_AS(model::parse_head(bad), UsageError);
  }
}

TEST_CASE("a head too large is refused with its arithmetic", "[unit]") {
  CHECK_THROWS_WITH(make("fc=4096", 100352),
                    Catch::Contains("(100352 + 1) x 4096 + (4096 + 1) x 3") && Catch::Contains("1 GB"));
}

TEST_CASE("initial weights depend on the seed alone and fill the range of torch.nn.Linear", "[unit]") {
  const Head a = make("fc=64,relu", 400), b = make("fc=64,relu", 400), c = make("fc=64,relu", 400, 3, 7);
  CHECK(at::equal(a.parameters()[0].value, b.parameters()[0].value));
  CHECK_FALSE(at::equal(a.parameters()[0].value, c.parameters()[0].value));
  const double bound = 1 / std::sqrt(400.0);
  const double largest = a.parameters()[0].value.abs().max().item<double>();
  CHECK(largest <= bound);
  CHECK(largest > 0.99 * bound);
  CHECK(a.parameters()[2].name == "fc2.weight");
}

TEST_CASE("embeddings of another width are refused", "[unit]") {
  CHECK_THROWS_WITH(make("").forward(at::zeros({2, 5})), "the head takes embeddings [B, 12], found [2, 5]");
}

TEST_CASE("the script is the head, in value and in gradient", "[unit]") {
  for (const char* spec : {"", "fc=8,relu", "fc=16,gelu,dropout=0.5,fc=8,silu", "tanh,fc=5,dropout=0"}) {
    INFO(spec);
    Head head = make(spec);
    torch::jit::Module script = head.to_script(std::make_shared<torch::jit::CompilationUnit>());
    std::stringstream file;
    script.save(file);  // what is written is what counts
    for (const auto& parameter : script.named_parameters(true)) parameter.value.set_requires_grad(true);
    const at::Tensor x = at::linspace(-2, 2, 48, at::kFloat).view({4, 12}).set_requires_grad(true);
    const at::Tensor ours = head.forward(x);
    const at::Tensor theirs = script.forward({x}).toTensor();
    CHECK(at::equal(ours, theirs));
    std::vector<at::Tensor> our_inputs, their_inputs;
    for (const auto& parameter : head.parameters()) our_inputs.push_back(parameter.value);
    for (const auto& parameter : script.named_parameters(true)) their_inputs.push_back(parameter.value);
    REQUIRE(our_inputs.size() == their_inputs.size());
    const auto ours_g = torch::autograd::grad({ours.square().sum()}, our_inputs);
    const auto theirs_g = torch::autograd::grad({theirs.square().sum()}, their_inputs);
    for (size_t i = 0; i < ours_g.size(); ++i) CHECK(at::allclose(ours_g[i], theirs_g[i], 1e-6, 1e-7));
  }
}

TEST_CASE("dropout acts in training only, in the head and in its script", "[unit]") {
  Head head = make("fc=256,dropout=0.5");
  const at::Tensor x = at::ones({4, 12});
  const at::Tensor calm = head.forward(x);
  CHECK(at::equal(calm, head.forward(x)));
  head.set_training(true);
  CHECK_FALSE(at::equal(head.forward(x), calm));
  torch::jit::Module script = head.to_script(std::make_shared<torch::jit::CompilationUnit>());
  CHECK(at::equal(script.forward({x}).toTensor(), calm));
  script.train(true);
  CHECK_FALSE(at::equal(script.forward({x}).toTensor(), calm));
}

TEST_CASE("a wide layer has the values and gradients of at::linear", "[unit]") {
  constexpr int64_t kRows = 5, kIn = 4096, kOut = 300;  // 1.2 million weights
  for (const bool x_learns : {true, false}) {
    INFO(x_learns);
    const at::Tensor values = at::arange(kRows * kIn, at::kFloat).view({kRows, kIn}).sin();
    const at::Tensor weights = at::arange(kOut * kIn, at::kFloat).view({kOut, kIn}).cos() / 64;
    std::vector<std::vector<at::Tensor>> gradients;
    std::vector<at::Tensor> outputs;
    enum class Way { kPlain, kWide, kFactors };
    for (const Way way : {Way::kPlain, Way::kWide, Way::kFactors}) {
      const at::Tensor x = values.clone().set_requires_grad(x_learns);
      const at::Tensor weight = weights.clone().set_requires_grad(true);
      const at::Tensor bias = at::zeros({kOut}).set_requires_grad(true);
      tensor::OuterGradient outer;
      outer.want(way == Way::kFactors);
      const at::Tensor out =
          way == Way::kPlain ? at::linear(x, weight, bias) : model::wide_linear(x, weight, bias, &outer);
      out.square().sum().backward();
      outputs.push_back(out.detach());
      CHECK(outer.is_empty() == (way != Way::kFactors));
      CHECK(weight.grad().defined() == (way != Way::kFactors));
      gradients.push_back({x.grad(), outer.is_empty() ? weight.grad() : outer.dense(), bias.grad()});
    }
    for (size_t way = 1; way < 3; ++way) {
      CHECK(at::allclose(outputs[way], outputs[0], 1e-5, 1e-5 * outputs[0].abs().max().item<double>()));
      CHECK(gradients[way][0].defined() == x_learns);
      for (size_t i = x_learns ? 0 : 1; i < 3; ++i) {
        // Sums of 300 products, in another order, of gradients of such sums.
        const double most = gradients[0][i].abs().max().item<double>();
        CHECK(at::allclose(gradients[way][i], gradients[0][i], 1e-4, 1e-4 * most));
      }
    }
  }
}
