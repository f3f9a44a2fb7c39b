#include "graph/probe.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "graph/flops.h"
#include "graph/nets.h"
#include "graph/surgery.h"
#include "support/support.h"

using namespace engraft;
using engraft::test::input_of;
using engraft::test::make_net;

namespace {

using Shape = std::vector<int64_t>;

std::vector<graph::BlockProbe> probe(const torch::jit::Module& net, const at::Tensor& x) {
  return graph::probe(net, graph::analyse(net), x);
}

}  // namespace

TEST_CASE("a probe gives each block's shapes, parameters, bytes and work", "[unit]") {
  const auto blocks = probe(make_net("chain"), input_of(2));
  struct Row {
    const char* name;
    Shape in, out;
    int64_t parameters, flops;
  };
  const std::vector<Row> rows = {
      {"conv1", {2, 3, 8, 8}, {2, 4, 8, 8}, 4 * 3 * 9 + 4, 2 * (2 * 4 * 64) * (3 * 9)},
      {"relu", {2, 4, 8, 8}, {2, 4, 8, 8}, 0, 0},
      {"conv2", {2, 4, 8, 8}, {2, 4, 8, 8}, 4 * 4 * 9 + 4, 2 * (2 * 4 * 64) * (4 * 9)},
      {"features.0", {2, 4, 4, 4}, {2, 4, 4, 4}, 4 * 4 * 9 + 4, 2 * (2 * 4 * 16) * (4 * 9)},
      {"features.1", {2, 4, 4, 4}, {2, 4, 4, 4}, 0, 0},
      {"fc", {2, 4, 4, 4}, {2, 5}, 4 * 5 + 5, 2 * 2 * 4 * 5},
  };
  REQUIRE(blocks.size() == rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    CAPTURE(rows[i].name);
    CHECK(blocks[i].name == rows[i].name);
    REQUIRE(blocks[i].input_shapes.size() == 1);
    CHECK(blocks[i].input_shapes[0] == rows[i].in);
    CHECK(blocks[i].output_shape == rows[i].out);
    CHECK(blocks[i].parameters == rows[i].parameters);
    CHECK(blocks[i].flops == rows[i].flops);
    CHECK(blocks[i].output_bytes == 4 * c10::multiply_integers(rows[i].out));
  }
}

TEST_CASE("blocks that give a tuple, or run only for some data, are told as such", "[unit]") {
  const auto tuple = probe(make_net("tuple"), input_of(1));
  CHECK(tuple.at(1).output == "tuple");
  CHECK(tuple.at(1).output_shape.empty());
  const auto branchy = probe(make_net("branchy"), input_of(1));
  CHECK(branchy.at(1).output == "not run");
  CHECK(branchy.at(1).parameters == 148);
  CHECK(branchy.at(3).output == "[1, 5]");
}

TEST_CASE("a probe leaves modes and running statistics as they were", "[unit]") {
  auto net = make_net("modes");
  net.train();
  const auto norm = net.attr("norm").toModule();
  const at::Tensor mean = norm.attr("running_mean").toTensor().clone();
  const auto blocks = probe(net, input_of(4));
  CHECK(blocks.at(1).buffers == 4 + 4 + 1);
  CHECK(graph::check_batch(net, input_of(1)).empty());
  CHECK(norm.is_training());
  CHECK(test::same(norm.attr("running_mean").toTensor(), mean));
  CHECK(norm.attr("num_batches_tracked").toTensor().item<int64_t>() == 0);
}

TEST_CASE("work is counted once, where it is done", "[unit]") {
  const at::Tensor x = at::ones({2, 4, 8, 8});
  const auto count = [](const std::function<void()>& work) {
    const graph::FlopCounter counter;
    work();
    return counter.flops();
  };
  CHECK(count([&] { at::conv2d(x, at::ones({6, 2, 3, 3}), {}, 1, 1, 1, 2); }) == 2 * (2 * 6 * 64) * (2 * 9));
  CHECK(count([&] { at::conv_transpose2d(x, at::ones({4, 6, 2, 2}), {}, 2); }) == 2 * (2 * 4 * 64) * (6 * 4));
  CHECK(count([&] { at::linear(at::ones({5, 7}), at::ones({3, 7}), at::ones({3})); }) == 2 * 5 * 7 * 3);
  CHECK(count([&] { at::linear(at::ones({2, 5, 7}), at::ones({3, 7})); }) == 2 * 2 * 5 * 7 * 3);
  CHECK(count([&] { at::matmul(at::ones({3, 5, 7}), at::ones({3, 7, 2})); }) == 2 * 3 * 5 * 7 * 2);
  CHECK(count([&] { at::add(x, x); }) == 0);
}

TEST_CASE("a network that does not take the input is an error in one line", "[unit]") {
  const auto net = make_net("chain");
  std::string message;
  try {
    probe(net, at::ones({1, 2, 8, 8}));
  } catch (const ModelError& error) {
    message = error.what();
  }
  CHECK(message.find("the network does not take [1, 2, 8, 8]: ") == 0);
  CHECK(message.find("expected input[1, 2, 8, 8] to have 3 channels") != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
  CHECK_THROWS_AS(graph::check_batch(net, at::ones({1, 2, 8, 8})), ModelError);
  CHECK_THROWS_AS(graph::check_batch(net, input_of(2)), UsageError);
}

TEST_CASE("a batch of three tells what a batch of one hides", "[unit]") {
  struct Row {
    const char* body;
    const char* problem;  // "" for none
  };
  const std::vector<Row> rows = {
      {"return self.fc.forward(self.stem.forward(x))", ""},
      {"return self.fc.forward(self.stem.forward(x)).view([1, 5])", "a batch of 3 fails where a batch of 1 works"},
      {"return self.fc.forward(self.stem.forward(x)).view([1, -1])", "a batch of 3 gives [1, 15]; expected [3, 5]"},
      {"return self.fc.forward(self.stem.forward(x) - x.mean())", "images of one batch are mixed"},
      {"return self.fc.forward(self.stem.forward(x)).sum()", "a batch of 1 gives []"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.body);
    auto net = test::make_module("Batch");
    net.register_module("stem", test::make_conv(3, 4, 1));
    net.register_module("fc", test::make_linear(4, 5, 2));
    net.define(std::string("def forward(self, x):\n  ") + row.body + "\n");
    const std::string problem = graph::check_batch(net, input_of(1));
    CHECK(problem.empty() == (row.problem[0] == '\0'));
    CHECK(problem.find(row.problem) != std::string::npos);
  }
}

TEST_CASE("the shared Inception's blocks have the shapes and the work that its README and papers give", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const auto net = torch::jit::load(shared + "/weights/inception_v3_mixed8.pt");
  const auto blocks = probe(net, at::zeros({1, 3, 299, 299}));
  int64_t flops = 0;
  for (const auto& block : blocks) flops += block.flops;
  CHECK(blocks.back().output_shape == Shape{1, 1280, 8, 8});
  CHECK(blocks.at(12).output_shape == Shape{1, 768, 17, 17});
  // 11.43 GFLOP is the whole network with the two blocks above mixed_8, which hold a seventh of it.
  CHECK(flops > 9.0e9);
  CHECK(flops < 11.0e9);
  CHECK(graph::check_batch(net, at::rand({1, 3, 150, 150})).empty());
}
