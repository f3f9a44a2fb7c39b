#include "model/backbone_archive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "graph/archive.h"
#include "io/digest.h"
#include "io/json.h"
#include "model/backbone.h"
#include "support/nets.h"

using namespace engraft;
using torch::jit::Module;

namespace {

model::BackboneRecord record_of(bool has_half_weights) {
  model::BackboneRecord record;
  record.name = "small";
  record.blocks = {"stem"};
  record.has_half_weights = has_half_weights;
  return record;
}

at::Tensor map_of(Module module, const at::Tensor& x) {
  const c10::NoGradGuard no_grad;
  return module.forward({x}).toTensor();
}

}  // namespace

TEST_CASE("an archive holds the weights, the same bytes each time, and leaves the module as it was", "[module]") {
  const Module net = test::small_net();
  const std::string digest = model::weights_sha256(net);
  const std::string bytes = model::backbone_archive(net, record_of(false));
  CHECK(model::backbone_archive(net, record_of(false)) == bytes);
  const model::Script read = model::script_of_bytes("small", bytes);
  const at::Tensor x = at::rand({2, 3, 48, 48});
  CHECK(at::equal(map_of(read.module, x), map_of(net, x)));
  const io::Json about = io::parse_json(read.archive_json, "engraft.json");
  for (const char* key :
       {"format", "version", "name", "source", "architecture", "blocks", "licence", "weights_sha256", "preprocessing"})
    CHECK(about.contains(key));
  CHECK(about["weights_sha256"] == digest);
  CHECK(model::weights_sha256(net) == digest);
}

TEST_CASE("halves that were stored are widened, halves that a network means are not", "[module]") {
  const Module net = test::small_net();
  const std::string bytes = model::backbone_archive(net, record_of(true));
  CHECK(bytes.size() < model::backbone_archive(net, record_of(false)).size());
  const Module read = model::script_of_bytes("small", bytes).module;
  for (const auto& item : read.named_parameters(true)) {
    INFO(item.name);
    CHECK(item.value.scalar_type() == at::kFloat);
    if (item.value.dim() >= 2) CHECK(at::equal(item.value, item.value.to(at::kHalf).to(at::kFloat)));
  }
  Module own("__torch__.test.Halves");
  own.register_attribute("training", c10::BoolType::get(), false);
  own.register_parameter("weight", at::ones({2, 3, 1, 1}, at::kHalf), false);
  own.define("def forward(self, x: Tensor) -> Tensor:\n  return torch.conv2d(x.half(), self.weight).float()\n");
  const Module kept = model::script_of_bytes("own", graph::archive_bytes(own)).module;
  CHECK(kept.attr("weight").toTensor().scalar_type() == at::kHalf);
}

TEST_CASE("a weight beyond float16 is refused by its name", "[module]") {
  Module net = test::small_net();
  const c10::NoGradGuard no_grad;
  for (const auto& item : net.named_parameters(true)) {
    at::Tensor weight = item.value;
    if (weight.dim() < 2) continue;
    weight.view(-1)[0] = 1e6;
    CHECK_THROWS_WITH(model::backbone_archive(net, record_of(true)), Catch::Contains(item.name));
    return;
  }
}

TEST_CASE("weights_sha256 is over names, types, shapes and values", "[unit]") {
  Module module("__torch__.test.Weights");
  module.register_buffer("b", at::tensor(std::vector<int64_t>{7}));
  module.register_buffer("a", at::tensor({1.0F, 2.0F}).view({2, 1}));
  io::Sha256 digest;
  const float a[] = {1, 2};
  const int64_t b = 7;
  using namespace std::string_literals;
  digest.add(
      "a\0float32\0"
      "2,1\0"s);
  digest.add(a, sizeof a);
  digest.add(
      "b\0int64\0"
      "1\0"s);
  digest.add(&b, sizeof b);
  CHECK(model::weights_sha256(module) == digest.hex());
}
