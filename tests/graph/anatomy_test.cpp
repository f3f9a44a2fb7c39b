#include "graph/anatomy.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/nets.h"
#include "support/support.h"

using namespace engraft;
using engraft::test::make_net;

namespace {

/// "stem+ body1- …": + a legal cut, . can be tapped but not cut, - neither.
std::string shorthand(const graph::Anatomy& anatomy) {
  std::vector<std::string> parts;
  for (const auto& block : anatomy.blocks())
    parts.push_back(block.name + (block.legal_cut ? "+" : block.can_tap ? "." : "-"));
  return text::join(parts, " ");
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const ModelError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("blocks are the children that forward calls, in order, with the places where the network can be cut",
          "[unit]") {
  struct Row {
    std::string net;
    std::vector<std::string> extra;
    std::string blocks;
  };
  const std::vector<Row> rows = {
      {"chain", {}, "conv1+ relu+ conv2+ features.0+ features.1+ fc+"},
      {"chain", {"features"}, "conv1+ relu+ conv2+ features+ fc+"},
      {"chain", {"features", "features.0"}, "conv1+ relu+ conv2+ features.0+ features.1+ fc+"},
      {"residual", {}, "stem+ body1. body2. fc+"},
      {"twice", {}, "stem+ same#1+ same#2+ fc+"},
      {"loop", {}, "stem+ same#1+ same#2+ same#3+ fc+"},
      {"branchy", {}, "stem+ a- b- fc+"},
      {"tuple", {}, "stem+ pair- fc+"},
      {"modes", {}, "stem+ norm+ dropout+ fc+"},
      {"aux", {}, "stem+ body+ fc+"},
      {"wrapper", {}, "inner.conv1+ inner.relu+ inner.conv2+ inner.features.0+ inner.features.1+ inner.fc+"},
      {"wrapper", {"inner"}, "inner+"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.net, row.extra);
    if (row.extra.size() == 2) {
      // A container cannot be a block and be opened at once.
      CHECK_THROWS_AS(graph::analyse(make_net(row.net), row.extra), ModelError);
      continue;
    }
    CHECK(shorthand(graph::analyse(make_net(row.net), row.extra)) == row.blocks);
    CHECK(shorthand(graph::analyse(test::from_bytes(test::bytes_of(make_net(row.net))), row.extra)) == row.blocks);
  }
}

TEST_CASE("a block that cannot be tapped or cut says why", "[unit]") {
  struct Row {
    std::string net, block, why;
  };
  const std::vector<Row> rows = {
      {"residual", "body1", "the output of 'stem' is needed after it as well"},
      {"residual", "body2", "a tensor from aten::add is needed after it as well"},
      {"branchy", "a", "it is called inside an if or a loop that depends on data"},
      {"tuple", "pair", "it returns Tuple[Tensor, Tensor], not one tensor"},
      {"chain", "conv1", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.net, row.block);
    CHECK(graph::analyse(make_net(row.net)).block(row.block).why_not == row.why);
  }
}

TEST_CASE("what is no block is an error that names the blocks", "[unit]") {
  const auto chain = graph::analyse(make_net("chain"));
  CHECK(message_of([&] { chain.block("conv3"); }) ==
        "no block 'conv3'; did you mean 'conv1'? blocks: conv1 relu conv2 features.0 features.1 fc");
  CHECK(message_of([&] { chain.block("zzzzzz"); }) ==
        "no block 'zzzzzz'; blocks: conv1 relu conv2 features.0 features.1 fc");
  CHECK(message_of([&] { chain.block("features"); }) ==
        "'features' is opened into blocks here; expected one of features.0 features.1");
  CHECK(message_of([&] { graph::analyse(make_net("twice")).block("same"); }) ==
        "block 'same' is called 2 times; expected one of same#1 same#2");
  CHECK(message_of([&] { graph::analyse(make_net("branchy")).tap("b"); }) ==
        "block 'b' cannot be tapped: it is called inside an if or a loop that depends on data");
  CHECK(message_of([&] { graph::analyse(make_net("chain"), {"features.7"}); }).find("no block 'features.7'") == 0);
}

TEST_CASE("a module without blocks is an error that says what the file is", "[unit]") {
  CHECK(message_of([&] {
          graph::analyse(torch::jit::freeze(make_net("chain")));
        }).find("it was frozen by torch.jit.freeze") != std::string::npos);
  CHECK(message_of([&] { graph::analyse(test::make_conv(3, 4, 1)); }).find("calls no child module") !=
        std::string::npos);
  auto two = test::make_module("Two", "def forward(self, x, y):\n  return x + y\n");
  CHECK(message_of([&] { graph::analyse(two); }) == "forward takes 2 inputs; expected one tensor ('y' has no default)");
  auto text_input = test::make_module("Text", "def forward(self, x: str):\n  return x\n");
  CHECK(message_of([&] { graph::analyse(text_input); }) == "forward's input 'x' is str; expected one tensor");
  auto none = test::make_module("None", "def encode(self, x):\n  return x\n");
  CHECK(message_of([&] { graph::analyse(none); }) == "the module has no method 'forward'");
}

TEST_CASE("an input with a default may stay away", "[unit]") {
  auto net = test::make_module("Optional");
  net.register_module("a", test::make_conv(3, 4, 1));
  net.register_module("b", test::make_conv(4, 4, 2));
  net.define(
      "def forward(self, x, again: bool = False):\n  y = self.a.forward(x)\n  if again:\n    y = self.b.forward(y)\n  "
      "return y\n");
  CHECK(shorthand(graph::analyse(net)) == "a+");
}

TEST_CASE("the shared networks have the blocks that their README names", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const auto inception = torch::jit::load(shared + "/weights/inception_v3_mixed8.pt");
  CHECK(shorthand(graph::analyse(inception)) ==
        "conv+ conv_1+ conv_2+ conv_3+ conv_4+ mixed+ mixed_1+ mixed_2+ mixed_3+ mixed_4+ mixed_5+ mixed_6+ mixed_7+ "
        "mixed_8+");
  const auto googlenet = torch::jit::load(shared + "/weights/googlenet_imagenet1k.pt");
  CHECK(shorthand(graph::analyse(googlenet)) ==
        "conv1+ conv2r+ conv2+ i3a+ i3b+ i4a+ i4b+ i4c+ i4d+ i4e+ i5a+ i5b+ fc+");
  CHECK(graph::analyse(googlenet, {"i3a.b3.0"}).block("i3a.b3.0").why_not ==
        "a tensor from prim::CallFunction is needed after it as well");
}
