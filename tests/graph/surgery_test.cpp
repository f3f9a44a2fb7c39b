#include "graph/surgery.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/errors.h"
#include "base/text.h"
#include "graph/anatomy.h"
#include "graph/archive.h"
#include "graph/nets.h"
#include "support/support.h"

using namespace engraft;
using engraft::test::input_of;
using engraft::test::make_net;
using engraft::test::same;
using torch::jit::Module;

namespace {

at::Tensor run(const Module& module, const std::string& method, const at::Tensor& x) {
  return module.get_method(method)({x}).toTensor();
}
at::Tensor run(const Module& module, const at::Tensor& x) { return run(module, "forward", x); }

std::vector<std::string> parameter_names(const Module& module) {
  std::vector<std::string> names;
  for (const auto& parameter : module.named_parameters()) names.push_back(parameter.name);
  return names;
}

template <class Act>
std::string message_of(const Act& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string slurp(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

/// Splits at every legal cut and compares with forward; returns how many cuts there were.
int check_every_cut(Module& module, const at::Tensor& x) {
  const at::Tensor whole = run(module, x);
  int cuts = 0;
  for (const auto& block : graph::analyse(module).blocks()) {
    for (const std::string& cut : graph::analyse(module).cuts_behind(block.name)) {
      CAPTURE(cut);
      const auto methods = graph::split(module, cut);
      const at::Tensor h = run(module, methods.trunk_method, x);
      const at::Tensor before = h.clone();
      CHECK(same(run(module, methods.top_method, h), whole));
      CHECK(same(h, before));
      cuts += cut == block.name ? 1 : 0;
    }
  }
  return cuts;
}

}  // namespace

TEST_CASE("the last block of every net gives what the whole net gives in eval mode", "[unit]") {
  const at::NoGradGuard no_grad;
  for (const char* name : {"chain", "residual", "twice", "loop", "branchy", "tuple", "modes", "aux"}) {
    CAPTURE(name);
    Module net = make_net(name);
    const at::Tensor x = input_of(3);
    const at::Tensor expected = run(net, x);
    const Module extracted = graph::extract(net, {"fc"});
    CHECK(same(run(extracted, x), expected));
    CHECK(same(run(test::from_bytes(test::bytes_of(extracted)), x), expected));
    CHECK(same(run(graph::extract(test::from_bytes(test::bytes_of(net)), {"fc"}), x), expected));
  }
}

TEST_CASE("a tap is the block's output at that moment, before a later block works on it in place", "[unit]") {
  const at::NoGradGuard no_grad;
  Module net = make_net("chain");
  const at::Tensor x = input_of(2);
  const auto child = [&](const char* name, const at::Tensor& in) { return run(net.attr(name).toModule(), in.clone()); };
  const at::Tensor conv1 = child("conv1", x);
  const at::Tensor relu = child("relu", conv1);
  const at::Tensor conv2 = child("conv2", relu);
  const at::Tensor features0 = run(net.attr("features").toModule().attr("0").toModule(), at::max_pool2d(conv2, {2, 2}));
  const std::vector<std::pair<std::string, at::Tensor>> expected = {
      {"conv1", conv1}, {"relu", relu}, {"conv2", conv2}, {"features.0", features0}, {"features.1", features0.relu()}};
  REQUIRE(conv1.min().item<float>() < 0);

  for (const auto& [tap, value] : expected) {
    CAPTURE(tap);
    CHECK(same(run(graph::extract(net, {tap}), x), value));
  }
  for (const std::vector<size_t>& order :
       std::vector<std::vector<size_t>>{{0, 1, 2, 3, 4}, {4, 0, 3}, {0, 1}, {1, 1}}) {
    std::vector<std::string> taps;
    for (const size_t i : order) taps.push_back(expected[i].first);
    CAPTURE(taps);
    const auto outputs = graph::extract(net, taps).forward({x}).toTuple()->elements();
    REQUIRE(outputs.size() == order.size());
    for (size_t i = 0; i < order.size(); ++i) CHECK(same(outputs[i].toTensor(), expected[order[i]].second));
  }
  CHECK(same(run(graph::extract(net, {"features"}), x), features0.relu()));
}

TEST_CASE("each call of a block that is called several times can be tapped", "[unit]") {
  const at::NoGradGuard no_grad;
  Module net = make_net("twice");
  const at::Tensor x = input_of(2);
  const at::Tensor first = run(net.attr("same").toModule(), run(net.attr("stem").toModule(), x));
  CHECK(same(run(graph::extract(net, {"same#1"}), x), first));
  CHECK(same(run(graph::extract(net, {"same#2"}), x), run(net.attr("same").toModule(), first.relu())));
}

TEST_CASE("the result holds what its taps need under the names and in the order of the source", "[unit]") {
  struct Row {
    std::string net;
    std::vector<std::string> taps;
    std::string parameters;
  };
  const std::vector<Row> rows = {
      {"chain", {"conv1"}, "conv1.weight conv1.bias"},
      {"chain", {"features.0"}, "conv1.weight conv1.bias conv2.weight conv2.bias features.0.weight features.0.bias"},
      {"aux", {"stem"}, "stem.weight stem.bias"},
      {"aux", {"fc"}, "shift stem.weight stem.bias body.weight body.bias fc.weight fc.bias"},
      {"wrapper", {"inner.conv1"}, "inner.conv1.weight inner.conv1.bias"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.net, row.taps);
    const Module net = make_net(row.net);
    const Module extracted = graph::extract(net, row.taps);
    std::vector<std::string> names = parameter_names(extracted);
    std::vector<std::string> expected = text::split(row.parameters, ' ');
    std::vector<std::string> in_source;
    for (const std::string& name : parameter_names(net))
      if (std::find(expected.begin(), expected.end(), name) != expected.end()) in_source.push_back(name);
    CHECK(names == in_source);
    CHECK(in_source.size() == expected.size());
    for (const auto& parameter : extracted.named_parameters())
      for (const auto& original : net.named_parameters())
        if (original.name == parameter.name) CHECK(original.value.is_same(parameter.value));
  }
}

TEST_CASE("surgery leaves its source as it is", "[unit]") {
  const Module net = make_net("chain");
  const std::string before = graph::archive_bytes(net);
  Module extracted = graph::extract(net, {"features.1", "conv1"});
  Module other = graph::extract(net, {"features.1"});
  graph::split(other, "conv2");
  CHECK((graph::archive_bytes(net) == before));
}

TEST_CASE("top after trunk is forward, bit for bit, at every legal cut", "[unit]") {
  const at::NoGradGuard no_grad;
  struct Row {
    std::string net;
    std::vector<std::string> taps;
    int cuts;
  };
  const std::vector<Row> rows = {{"chain", {"fc"}, 6},       {"chain", {"features.1"}, 5}, {"residual", {"fc"}, 2},
                                 {"residual", {"body1"}, 2}, {"twice", {"fc"}, 4},         {"loop", {"fc"}, 5},
                                 {"branchy", {"fc"}, 2},     {"tuple", {"fc"}, 2},         {"modes", {"fc"}, 4},
                                 {"aux", {"fc"}, 3},         {"wrapper", {"inner.fc"}, 6}};
  for (const Row& row : rows) {
    CAPTURE(row.net, row.taps);
    Module module = graph::extract(make_net(row.net), row.taps);
    CHECK(check_every_cut(module, input_of(3)) == row.cuts);
    Module reloaded = test::from_bytes(test::bytes_of(module));
    CHECK(check_every_cut(reloaded, input_of(3)) == row.cuts);  // the methods came along
    const Module again = graph::extract(module, {graph::analyse(module).blocks().back().name});
    CHECK(same(run(again, input_of(3)), run(module, input_of(3))));
  }
}

TEST_CASE("a network can be cut behind the operators between two blocks", "[unit]") {
  const at::NoGradGuard no_grad;
  struct Row {
    std::string net, block, cuts;
    std::vector<int64_t> last_shape;
  };
  const std::vector<Row> rows = {
      {"chain", "conv2", "conv2 conv2+1", {3, 4, 4, 4}},  // behind the pool
      {"chain", "conv1", "conv1", {3, 4, 8, 8}},
      {"residual", "body1", "body1+1", {3, 4, 8, 8}},  // behind the sum
      {"residual", "body2", "body2+1", {3, 4, 8, 8}},
      {"twice", "same#1", "same#1 same#1+1", {3, 4, 8, 8}},
      {"branchy", "a", "", {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.net, row.block);
    Module module = graph::extract(make_net(row.net), {"fc"});
    const auto cuts = graph::analyse(module).cuts_behind(row.block);
    CHECK(text::join(cuts, " ") == row.cuts);
    if (cuts.empty()) continue;
    const at::Tensor h = run(module, graph::split(module, cuts.back()).trunk_method, input_of(3));
    CHECK(h.sizes().vec() == row.last_shape);
  }
  Module module = graph::extract(make_net("chain"), {"fc"});
  CHECK(message_of([&] { graph::split(module, "conv2+7"); }) ==
        "cannot cut at 'conv2+7'; the legal cuts from 'conv2' to the next block are conv2, conv2+1");
  CHECK(message_of([&] { graph::split(module, "conv9+1"); }).find("no block 'conv9'") == 0);
}

TEST_CASE("the methods of a split carry the cut and are made once", "[unit]") {
  Module module = graph::extract(make_net("loop"), {"fc"});
  const auto first = graph::split(module, "same#1");
  const auto second = graph::split(module, "same#2");
  CHECK(first.trunk_method == "trunk_same_x231");
  CHECK(first.top_method == "top_same_x231");
  CHECK(second.trunk_method != first.trunk_method);
  CHECK(graph::split(module, "same#1").trunk_method == first.trunk_method);
  const std::vector<std::string> names = {"a.b", "a__b", "a_b", "a_xb", "a#1", "a_x231", "a-b", "a"};
  for (const std::string& one : names)
    for (const std::string& other : names)
      CHECK((one == other) == (graph::split_methods(one).top_method == graph::split_methods(other).top_method));
}

TEST_CASE("one method collects what several trunks and forward give", "[unit]") {
  const at::NoGradGuard no_grad;
  Module module = graph::extract(make_net("chain"), {"fc"});
  const std::string method = graph::collect(module, {"conv1", "conv2+1"});
  CHECK(graph::collect(module, {"conv1", "conv2+1"}) == method);
  const at::Tensor x = input_of(3);
  const auto collected = module.get_method(method)({x}).toTuple()->elements();
  REQUIRE(collected.size() == 3);
  CHECK(same(collected[0].toTensor(), run(module, graph::split(module, "conv1").trunk_method, x)));
  CHECK(same(collected[1].toTensor(), run(module, graph::split(module, "conv2+1").trunk_method, x)));
  CHECK(same(collected[2].toTensor(), run(module, x)));
  CHECK(message_of([&] { graph::collect(module, {"conv2+7"}); }).find("cannot cut at 'conv2+7'") == 0);
  CHECK_THROWS_AS(graph::collect(module, {}), UsageError);
}

TEST_CASE("a cut at the tap leaves a top that returns its input", "[unit]") {
  Module module = graph::extract(make_net("chain"), {"conv2"});
  const auto methods = graph::split(module, "conv2");
  const at::Tensor h = input_of(1);
  CHECK(run(module, methods.top_method, h).is_same(h));
  CHECK(same(run(module, methods.trunk_method, h), run(module, h)));
}

TEST_CASE("what cannot be extracted or cut is an error with the reason", "[unit]") {
  CHECK(message_of([] { graph::extract(make_net("chain"), {}); }) == "no tap given; expected the name of a block");
  CHECK(message_of([] { graph::extract(make_net("chain"), {"conv9"}); }).find("no block 'conv9'; did you mean") == 0);
  CHECK(message_of([] { graph::extract(make_net("tuple"), {"pair"}); }) ==
        "block 'pair' cannot be tapped: it returns Tuple[Tensor, Tensor], not one tensor");
  Module module = graph::extract(make_net("residual"), {"fc"});
  CHECK(message_of([&] { graph::split(module, "body1"); }) ==
        "cannot cut at 'body1': the output of 'stem' is needed after it as well");
  Module two = graph::extract(make_net("chain"), {"conv1", "fc"});
  CHECK(message_of([&] { graph::split(two, "conv2"); }).find("cannot cut at 'conv2': ") == 0);
}

TEST_CASE("gradients through the result, its top and the whole net are the same", "[unit]") {
  for (const char* name : {"chain", "residual", "twice", "aux"}) {
    CAPTURE(name);
    Module net = make_net(name);
    const at::Tensor x = input_of(3);
    const auto gradients = [&](const at::Tensor& y) {
      std::map<std::string, at::Tensor> found;
      for (const auto& parameter : net.named_parameters()) parameter.value.mutable_grad() = at::Tensor();
      y.square().sum().backward();
      for (const auto& parameter : net.named_parameters())
        if (parameter.value.grad().defined()) found[parameter.name] = parameter.value.grad().clone();
      return found;
    };
    Module module = graph::extract(net, {"fc"});
    const auto whole = gradients(run(net, x));
    const auto extracted = gradients(run(module, x));
    const std::string cut = graph::analyse(module).blocks()[0].name;
    const auto methods = graph::split(module, cut);
    const auto top = gradients(run(module, methods.top_method, run(module, methods.trunk_method, x)));
    CHECK(whole.size() >= 4);
    for (const auto& [parameter, gradient] : whole) {
      CAPTURE(parameter);
      CHECK(same(gradient, extracted.at(parameter)));
      CHECK(same(gradient, top.at(parameter)));
    }
  }
}

TEST_CASE("blocks obey train and eval inside the result", "[unit]") {
  Module net = make_net("modes");
  Module module = test::from_bytes(test::bytes_of(graph::extract(net, {"dropout"})));
  const Module norm = module.attr("norm").toModule();
  const auto mean = [&] { return norm.attr("running_mean").toTensor().clone(); };
  const at::Tensor start = mean();
  run(module, input_of(4));
  CHECK(same(mean(), start));
  module.train();
  const at::Tensor trained = run(module, input_of(4));
  CHECK_FALSE(same(mean(), start));
  CHECK((trained == 0).sum().item<int64_t>() > 100);  // of 1024, half are dropped
  Module(norm).eval();
  const at::Tensor moved = mean();
  run(module, input_of(4));
  CHECK(same(mean(), moved));
}

TEST_CASE("a net saved in train mode is read in eval mode where it is opened", "[unit]") {
  const at::NoGradGuard no_grad;
  Module net = make_net("aux");
  const at::Tensor expected = run(net, input_of(2));
  net.train();
  const Module module = graph::extract(net, {"fc"});
  CHECK(same(run(module, input_of(2)), expected));
  CHECK_FALSE(module.hasattr("aux"));
}

TEST_CASE("the same file and taps give the same bytes in any process, whatever was loaded before", "[unit]") {
  const test::TempFolder folder;
  for (const char* name : {"chain", "aux"}) {
    test::put_file(folder / "net.pt", test::bytes_of(make_net(name)));
    test::put_file(folder / "noise.pt", test::bytes_of(make_net("residual")));
    const std::string tool = ENGRAFT_GRAPH_EXPORT;
    const std::string taps = " fc stem conv1";  // those that the net has
    REQUIRE(std::system((tool + " " + (folder / "net.pt") + " " + (folder / "one.pt") + taps).c_str()) == 0);
    REQUIRE(std::system((tool + " --noise " + (folder / "noise.pt") + " " + (folder / "net.pt") + " " +
                         (folder / "two.pt") + taps)
                            .c_str()) == 0);
    CHECK(slurp(folder / "one.pt").size() > 1000);
    CHECK((slurp(folder / "one.pt") == slurp(folder / "two.pt")));
  }
}

TEST_CASE("an archive's bytes do not depend on who else holds its parts", "[unit]") {
  const Module source = make_net("chain");
  const std::string held = graph::archive_bytes(graph::extract(source, {"fc"}), {{"b", "2"}, {"a", "1"}});
  const auto alone = [] { return graph::extract(make_net("chain"), {"fc"}); };
  CHECK((graph::archive_bytes(alone(), {{"b", "2"}, {"a", "1"}}) == held));
  CHECK((graph::archive_bytes(alone(), {{"b", "2"}, {"a", "other"}}) != held));
}

TEST_CASE("the shared networks divide bit for bit at every legal cut", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const at::NoGradGuard no_grad;
  struct Row {
    const char* file;
    std::string last;
    int64_t side_px;
    int cuts;
  };
  for (const Row& row :
       {Row{"inception_v3_mixed8.pt", "mixed_8", 150, 14}, Row{"googlenet_imagenet1k.pt", "fc", 224, 13}}) {
    CAPTURE(row.file);
    Module source = torch::jit::load(shared + "/weights/" + row.file);
    source.eval();
    const at::Tensor x =
        at::linspace(-2, 2, 2 * 3 * row.side_px * row.side_px).reshape({2, 3, row.side_px, row.side_px}).sin();
    Module module = graph::extract(source, {row.last});
    CHECK(same(run(module, x), run(source, x)));
    CHECK(check_every_cut(module, x) == row.cuts);
  }
}

TEST_CASE("a tap of the shared GoogLeNet holds no classifier and keeps its values through a file", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  const at::NoGradGuard no_grad;
  Module source = torch::jit::load(shared + "/weights/googlenet_imagenet1k.pt");
  source.eval();
  const at::Tensor x = at::linspace(-2, 2, 3 * 224 * 224).reshape({1, 3, 224, 224}).cos();
  const Module module = graph::extract(source, {"i5b"});
  CHECK(same(run(module, x), run(source, "features", x)));
  CHECK_FALSE(module.hasattr("fc"));
  CHECK(parameter_names(module).front() == "conv1.conv.weight");
  CHECK(same(run(test::from_bytes(test::bytes_of(module)), x), run(module, x)));
}
