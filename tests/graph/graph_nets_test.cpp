// Networks made by Python (make_nets.py), compared with what Python computes from them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "graph/anatomy.h"
#include "graph/archive.h"
#include "graph/audit.h"
#include "graph/nets.h"
#include "graph/norms.h"
#include "graph/probe.h"
#include "graph/surgery.h"
#include "support/support.h"

using namespace engraft;
using engraft::test::same;
using torch::jit::Module;

namespace {

std::string python() {
  const char* given = std::getenv("ENGRAFT_TEST_PYTHON");
  return given != nullptr ? given : ENGRAFT_TEST_PYTHON;
}

bool run_script(const std::string& arguments) {
  return std::system((python() + " " ENGRAFT_SOURCE_DIR "/tests/graph/make_nets.py " + arguments).c_str()) == 0;
}

/// The folder of made networks, made on first use; empty, after saying so, where there is no Python for it.
std::string nets_folder() {
  static const std::string folder = [] {
    if (!std::filesystem::exists(python())) {
      if (std::getenv("ENGRAFT_SHARED") != nullptr)
        throw std::runtime_error("ENGRAFT_SHARED is set, but there is no Python at " + python());
      std::cout << "SKIPPED: no Python with torch and torchvision at " << python() << " (set ENGRAFT_TEST_PYTHON)"
                << std::endl;
      return std::string();
    }
    if (!run_script("make " ENGRAFT_NETS_FOLDER)) throw std::runtime_error("make_nets.py failed");
    return std::string(ENGRAFT_NETS_FOLDER);
  }();
  at::set_num_threads(1);  // as make_nets.py, since sums are split by threads
  return folder;
}

const std::vector<std::string> kNets = {"inception_v3", "googlenet",          "resnet50",      "efficientnet_b0",
                                        "densenet121",  "mobilenet_v3_small", "convnext_tiny", "vit"};
const std::vector<std::string> kKinds = {"script", "script_train", "trace"};

/// The values that Python kept.
class Reference {
 public:
  Reference(const std::string& folder, const std::string& net)
      : values_(torch::jit::load(folder + "/" + net + "_reference.pt").attr("values").toGenericDict()) {}
  at::Tensor at(const std::string& key) const { return values_.at(key).toTensor(); }
  bool has(const std::string& key) const { return values_.contains(key); }
  std::vector<std::string> keys(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const auto& entry : values_) {
      const std::string key = entry.key().toStringRef();
      if (key.find(prefix) == 0) found.push_back(key.substr(prefix.size()));
    }
    return found;
  }

 private:
  c10::Dict<c10::IValue, c10::IValue> values_;
};

at::Tensor run(const Module& module, const std::string& method, const at::Tensor& x) {
  return module.get_method(method)({x.clone()}).toTensor();
}

/// Bit-equal, or within 1e-5 of the largest value.
bool agrees(const at::Tensor& value, const at::Tensor& expected, bool exactly) {
  if (exactly) return same(value, expected);
  return value.sizes() == expected.sizes() &&
         (value - expected).abs().max().item<double>() <= 1e-5 * expected.abs().max().item<double>();
}

/// The first tensor that the whole network gives: some scripted ones give a tuple with auxiliary outputs.
at::Tensor whole_output(const Module& module, const at::Tensor& x) {
  const auto output = module.get_method("forward")({x.clone()});
  return output.isTensor() ? output.toTensor() : output.toTuple()->elements()[0].toTensor();
}

}  // namespace

#define ENGRAFT_NEED_NETS(name)           \
  const std::string name = nets_folder(); \
  if (name.empty()) return

TEST_CASE("a tap is what a Python forward hook sees, bit for bit", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  const at::NoGradGuard no_grad;
  for (const std::string& net : kNets) {
    const Reference reference(folder, net);
    const at::Tensor x = reference.at("x");
    for (const std::string& kind : kKinds) {
      CAPTURE(net, kind);
      Module source = torch::jit::load(folder + "/" + net + "_" + kind + ".pt");
      source.eval();
      std::vector<std::string> taps;
      for (const auto& block : graph::analyse(source).blocks())
        if (block.can_tap && reference.has("tap:" + block.name)) taps.push_back(block.name);
      CAPTURE(taps);
      CHECK(taps.size() >= 6);
      // A trace is made with gradients on, where attention takes other kernels than in the reference's no_grad.
      const bool exactly = !(net == "vit" && kind == "trace");
      const auto outputs = graph::extract(source, taps).forward({x.clone()}).toTuple()->elements();
      for (size_t i = 0; i < taps.size(); ++i) {
        CAPTURE(taps[i]);
        CHECK(agrees(outputs[i].toTensor(), reference.at("tap:" + taps[i]), exactly));
      }
      const at::Tensor out = run(graph::extract(source, {taps.back()}), "forward", x);
      CHECK(agrees(out, reference.at("out"), exactly));
      CHECK(same(out, whole_output(source, x)));
    }
  }
}

TEST_CASE("torchvision's networks divide bit for bit at their legal cuts", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  const at::NoGradGuard no_grad;
  for (const std::string& net : kNets) {
    const at::Tensor x = Reference(folder, net).at("x");
    for (const std::string kind : {"script_train", "trace"}) {
      CAPTURE(net, kind);
      Module source = torch::jit::load(folder + "/" + net + "_" + kind + ".pt");
      source.eval();
      const auto blocks = graph::analyse(source).blocks();
      Module module = graph::extract(source, {blocks.back().name});
      const at::Tensor whole = run(module, "forward", x);
      size_t cuts = 0;
      for (const auto& block : graph::analyse(module).blocks()) {
        if (!block.legal_cut) continue;
        CAPTURE(block.name);
        const auto methods = graph::split(module, block.name);
        const at::Tensor h = run(module, methods.trunk_method, x);
        const at::Tensor before = h.clone();
        CHECK(same(module.get_method(methods.top_method)({h}).toTensor(), whole));
        CHECK(same(h, before));
        ++cuts;
      }
      CHECK(cuts + 2 >= blocks.size());
    }
  }
}

TEST_CASE("gradients are Python's", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"inception_v3", "Mixed_7c"}, {"resnet50", "layer4.2"}, {"densenet121", "features.denseblock4"}};
  for (const auto& [net, tap] : rows) {
    const Reference reference(folder, net);
    for (const std::string& kind : kKinds) {
      CAPTURE(net, kind);
      Module source = torch::jit::load(folder + "/" + net + "_" + kind + ".pt");
      source.eval();
      const Module module = graph::extract(source, {tap});
      run(module, "forward", reference.at("x")).square().mean().backward();
      size_t compared = 0;
      for (const auto& parameter : module.named_parameters()) {
        CAPTURE(parameter.name);
        const at::Tensor expected = reference.at("grad:" + parameter.name);
        REQUIRE(parameter.value.grad().defined());
        const double largest = expected.abs().max().item<double>();
        CHECK((parameter.value.grad() - expected).abs().max().item<double>() <= 1e-5 * largest + 1e-12);
        ++compared;
      }
      CHECK(compared == reference.keys("grad:").size());
    }
  }
}

TEST_CASE("Python loads what was extracted, with its trunk and top", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  const test::TempFolder out;
  const std::vector<std::vector<std::string>> rows = {{"resnet50", "layer4.2", "layer2.3"},
                                                      {"inception_v3", "Mixed_7c", "Mixed_6e"},
                                                      {"densenet121", "features.norm5", "features.transition2"}};
  for (const auto& row : rows) {
    for (const std::string& kind : kKinds) {
      CAPTURE(row, kind);
      Module source = torch::jit::load(folder + "/" + row[0] + "_" + kind + ".pt");
      source.eval();
      Module module = graph::extract(source, {row[1]});
      const auto methods = graph::split(module, row[2]);
      test::put_file(out / "tap.pt", graph::archive_bytes(module));
      CHECK(graph::audit(out / "tap.pt").empty());
      CHECK(run_script("check " + folder + "/" + row[0] + "_reference.pt " + (out / "tap.pt") + " " + row[1] + ":" +
                       methods.trunk_method + ":" + methods.top_method));
    }
  }
}

TEST_CASE("a traced network trains its norms as Python's original does, once rewired", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  const at::NoGradGuard no_grad;
  const Reference reference(folder, "resnet18");
  Module net = torch::jit::load(folder + "/resnet18_trace.pt");
  const auto found = graph::traced_norms(net);
  const auto norms = graph::norm_layers(net);
  CHECK(found.norms == 20);
  CHECK(found.fixed_in_train == 0);
  CHECK(norms.size() == 20);
  CHECK_FALSE(graph::traced_norms(torch::jit::load(folder + "/resnet18_script.pt")).any());
  const at::Tensor before = run(net, "forward", reference.at("x"));
  CHECK(graph::rewire_traced_norms(net) == 20);
  CHECK(same(run(net, "forward", reference.at("x")), before));
  net.train();
  run(net, "forward", reference.at("x"));
  for (const auto& norm : norms) {
    CAPTURE(norm.path);
    at::Tensor mean;
    for (const auto& buffer : net.named_buffers())
      if (buffer.name == norm.path + ".running_mean") mean = buffer.value;
    REQUIRE(mean.defined());
    CHECK(at::allclose(mean, reference.at("mean:" + norm.path), 1e-5, 1e-6));
  }
}

TEST_CASE("torchvision's networks pass the audit, and their batches hold independent images", "[module]") {
  ENGRAFT_NEED_NETS(folder);
  for (const std::string& net : kNets)
    for (const std::string& kind : kKinds) {
      CAPTURE(net, kind);
      const std::string file = folder + "/" + net + "_" + kind + ".pt";
      for (const auto& finding : graph::audit(file)) FAIL_CHECK(finding.record << ": " << finding.what);
      if (kind != "trace") continue;
      const Module source = torch::jit::load(file);
      const at::Tensor x = Reference(folder, net).at("x").narrow(0, 0, 1);
      CHECK(graph::check_batch(source, x).empty());
      const auto blocks = graph::probe(source, graph::analyse(source), x);
      CHECK(blocks.back().output_shape == std::vector<int64_t>{1, 1000});
    }
}
