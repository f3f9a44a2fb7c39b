#include "graph/norms.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "graph/nets.h"
#include "graph/surgery.h"

using namespace engraft;
using engraft::test::input_of;
using engraft::test::same;
using torch::jit::Module;

namespace {

/// A norm and a dropout as torch.jit.trace writes them: the mode is a constant. `type` names the norm's class.
Module traced_norm(bool training, bool with_mode = true) {
  Module module("__torch__.tiny.TracedNorm");
  if (with_mode) module.register_attribute("training", c10::BoolType::get(), training);
  module.register_parameter("weight", at::ones({4}).requires_grad_(), false);
  module.register_parameter("bias", at::zeros({4}).requires_grad_(), false);
  module.register_buffer("running_mean", at::zeros({4}));
  module.register_buffer("running_var", at::ones({4}));
  const std::string mode = training ? "True" : "False";
  module.define(
      "def forward(self, x):\n  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, "
      "self.running_var, " +
      mode + ", 0.1, 1e-5, True)\n");
  return module;
}

Module traced_dropout() {
  return test::make_module("TracedDropout", "def forward(self, x):\n  return torch.dropout(x, 0.5, False)\n");
}

Module traced_net(const Module& norm) {
  Module net = test::make_module("TracedNet");
  net.register_module("stem", test::make_conv(3, 4, 1));
  net.register_module("norm", norm);
  net.register_module("inner", test::make_chain("Sequential", {traced_dropout(), test::make_conv(4, 4, 2)}));
  net.define("def forward(self, x):\n  return self.inner.forward(self.norm.forward(self.stem.forward(x)))\n");
  net.eval();
  return net;
}

at::Tensor run(const Module& net, const at::Tensor& x) { return net.get_method("forward")({x}).toTensor(); }

}  // namespace

TEST_CASE("norms and dropouts that carry their mode as a constant are found, those of scripts are not", "[unit]") {
  const auto found = graph::traced_norms(traced_net(traced_norm(false)));
  CHECK(found.norms == 1);
  CHECK(found.dropouts == 1);
  CHECK(found.fixed_in_train == 0);
  CHECK(found.paths == std::vector<std::string>{"norm", "inner.0"});
  CHECK(graph::traced_norms(traced_net(traced_norm(true))).fixed_in_train == 1);
  CHECK_FALSE(graph::traced_norms(test::make_net("modes")).any());
  const auto layers = graph::norm_layers(traced_net(traced_norm(false)));
  REQUIRE(layers.size() == 1);
  CHECK(layers[0].path == "norm");
  CHECK(layers[0].channels == 4);
}

TEST_CASE("after rewiring, train and eval reach a traced net, and nothing changes before", "[unit]") {
  Module net = traced_net(traced_norm(false));
  const at::Tensor x = input_of(8);
  const at::Tensor before = run(net, x);  // compiled, with its children inlined
  run(net, x);
  const auto mean = [&] { return net.attr("norm").toModule().attr("running_mean").toTensor().clone(); };
  const at::Tensor start = mean();
  net.train();
  CHECK(same(run(net, x), before));

  CHECK(graph::rewire_traced_norms(net) == 2);
  CHECK(same(run(net, x), before));  // what the constants said
  CHECK(same(mean(), start));
  net.train();
  run(net, x);
  const at::Tensor batch_mean = run(net.attr("stem").toModule(), x).mean({0, 2, 3});
  CHECK(at::allclose(mean(), batch_mean * 0.1, 1e-5, 1e-6));
  CHECK_FALSE(same(run(net, x), run(net, x)));  // dropout draws
  net.eval();
  CHECK(same(run(net, x), run(net, x)));

  CHECK(graph::rewire_traced_norms(net) == 0);
  CHECK_FALSE(graph::traced_norms(net).any());
  const Module reloaded = test::from_bytes(test::bytes_of(net));
  CHECK(same(run(reloaded, x), run(net, x)));
  CHECK_FALSE(graph::traced_norms(reloaded).any());
}

TEST_CASE("a norm traced in train mode keeps training until eval is called", "[unit]") {
  Module net = traced_net(traced_norm(true));
  CHECK(graph::rewire_traced_norms(net) == 2);
  CHECK(net.attr("norm").toModule().is_training());
  net.eval();
  const at::Tensor x = input_of(4);
  const at::Tensor start = net.attr("norm").toModule().attr("running_mean").toTensor().clone();
  run(net, x);
  CHECK(same(net.attr("norm").toModule().attr("running_mean").toTensor(), start));
}

TEST_CASE("a node without a mode to read stays, and is counted", "[unit]") {
  Module net = test::make_module("Bare");
  net.register_module("norm", traced_norm(false, false));
  net.define("def forward(self, x):\n  return self.norm.forward(x)\n");
  CHECK(graph::traced_norms(net).without_mode == 1);
  CHECK(graph::rewire_traced_norms(net) == 0);
  CHECK(same(run(net, at::ones({1, 4, 2, 2})), run(net, at::ones({1, 4, 2, 2}))));
}

TEST_CASE("modules that share a class each follow their own mode after rewiring", "[unit]") {
  const Module one = traced_norm(false);
  const Module two(one._ivalue()->copy());  // the same class, its own slots
  Module net = test::make_module("Pair");
  net.register_module("one", one);
  net.register_module("two", two);
  net.define("def forward(self, x):\n  return self.two.forward(self.one.forward(x))\n");
  two._ivalue()->setAttr("running_mean", at::zeros({4}));
  two._ivalue()->setAttr("running_var", at::ones({4}));
  CHECK(graph::rewire_traced_norms(net) == 1);
  Module(one).train();
  run(net, input_of(4).narrow(1, 0, 1).expand({4, 4, 8, 8}).contiguous());
  CHECK_FALSE(same(one.attr("running_mean").toTensor(), at::zeros({4})));
  CHECK(same(two.attr("running_mean").toTensor(), at::zeros({4})));
}

TEST_CASE("a tap of a rewired net obeys the modes", "[unit]") {
  Module net = traced_net(traced_norm(false));
  graph::rewire_traced_norms(net);
  Module tap = graph::extract(net, {"norm"});
  tap.train();
  run(tap, input_of(4));
  CHECK_FALSE(same(tap.attr("norm").toModule().attr("running_mean").toTensor(), at::zeros({4})));
}
