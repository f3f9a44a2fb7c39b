#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/jit/serialization/import.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/parity.h"
#include "graph/anatomy.h"
#include "graph/surgery.h"
#include "support/nets.h"
#include "support/support.h"
#include "tensor/named.h"

using namespace engraft;
using Catch::Contains;
using torch::jit::Module;

namespace {

engine::EngineOptions options_of(int64_t batch, int size_px = 32) {
  engine::EngineOptions options{{}, batch, c10::Device(c10::kCPU)};
  options.preprocessing.size_px = size_px;
  options.kind = engine::EngineKind::kOpenVino;
  options.is_frozen = true;
  return options;
}

/// The two pictures of parity.h by turns.
std::vector<uint8_t> pictures(int64_t batch, int size_px = 32) {
  const std::vector<uint8_t> two = engine::parity_pictures(size_px);
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < batch; ++i) {
    const auto begin = two.begin() + (i % 2) * (two.size() / 2);
    pixels.insert(pixels.end(), begin, begin + two.size() / 2);
  }
  return pixels;
}

std::vector<at::Tensor> run_openvino(const Module& module, const std::string& method,
                                     const engine::EngineOptions& options) {
  const std::vector<uint8_t> pixels = pictures(options.batch_size, options.preprocessing.size_px);
  return engine::make_openvino_engine(module, method, options)->run(pixels.data());
}

double difference(const Module& module, const engine::EngineOptions& options) {
  return engine::difference_from_torch(*engine::make_openvino_engine(module, "forward", options), module, "forward");
}

/// forward(x) = `body`, lines of TorchScript that end in a return.
Module net_of(const std::string& body) {
  Module module("__torch__.test.Written");
  module.register_attribute("training", c10::BoolType::get(), false);
  module.register_buffer("kept", at::ones({1}));
  module.define("def forward(self, x: Tensor) -> Tensor:\n" + body);
  return module;
}

std::string digest_of(const Module& module) {
  std::vector<tensor::NamedTensor> tensors;
  for (const auto& named : module.named_parameters(true)) tensors.push_back({named.name, named.value});
  for (const auto& named : module.named_buffers(true)) tensors.push_back({named.name, named.value});
  return tensor::digest(tensors);
}

/// float32, and bf16 where the CPU has a unit for it.
std::vector<tensor::Precision> precisions() {
  if (tensor::bf16_unit(at::kCPU).empty()) return {tensor::Precision::kFloat32};
  return {tensor::Precision::kFloat32, tensor::Precision::kBfloat16};
}

/// Each value of several has the bytes that it has alone.
void check_alone_and_together(const Module& network, const std::vector<std::string>& taps, int size_px) {
  for (const tensor::Precision precision : precisions()) {
    engine::EngineOptions options = options_of(2, size_px);
    options.precision = precision;
    const auto together = run_openvino(graph::extract(network, taps), "forward", options);
    REQUIRE(together.size() == taps.size());
    for (size_t i = 0; i < taps.size(); ++i) {
      INFO(tensor::to_text(precision) << ", " << taps[i]);
      CHECK(at::equal(together[i], run_openvino(graph::extract(network, {taps[i]}), "forward", options)[0]));
    }
  }
}

const double kBound = engine::parity_bound(tensor::Precision::kFloat32);

}  // namespace

TEST_CASE("OpenVINO gives what LibTorch gives, in order, float32 and channels_last", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"stem", "mixed_2"});
  const auto engine = engine::make_openvino_engine(body, "forward", options_of(2));
  CHECK_THAT(engine->name(), Catch::StartsWith("openvino 20") && Catch::EndsWith(" f32"));
  const auto outputs = engine->run(pictures(2).data());
  const auto expected = engine::make_torch_engine(body, "forward", options_of(2))->run(pictures(2).data());
  REQUIRE(outputs.size() == 2);
  CHECK(engine::relative_error(outputs, expected) < kBound);
  for (const at::Tensor& output : outputs) CHECK(output.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(difference(test::small_net(), options_of(3)) < kBound);  // [B, 7]
}

TEST_CASE("channels in the other order, with a mean and a deviation for each", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"stem"});
  engine::EngineOptions options = options_of(2);
  options.preprocessing.mean = {0.1, 0.4, 0.7};
  options.preprocessing.std = {0.2, 0.5, 0.9};
  for (const char* channels : {"rgb", "bgr"}) {
    options.preprocessing.channels = channels;
    CHECK(difference(body, options) < kBound);
  }
}

TEST_CASE("a row has the same bytes in every place, batch and run", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  const at::Tensor alone = run_openvino(body, "forward", options_of(1))[0];
  for (const tensor::Precision precision : precisions()) {
    for (const int64_t batch : {2, 5, 8}) {
      engine::EngineOptions options = options_of(batch);
      options.precision = precision;
      const auto engine = engine::make_openvino_engine(body, "forward", options);
      const at::Tensor rows = engine->run(pictures(batch).data())[0];
      CHECK(at::equal(engine->run(pictures(batch).data())[0], rows));
      for (int64_t i = 2; i < batch; i += 2) CHECK(at::equal(rows[i], rows[0]));
      if (precision == tensor::Precision::kFloat32) CHECK(at::equal(rows[0], alone[0]));
    }
  }
}

TEST_CASE("outputs stay what they are when the engine runs again, and two engines do not meet", "[unit]") {
  const Module stem = graph::extract(test::small_net(), {"stem"}), other = graph::extract(test::small_net(2), {"stem"});
  const auto first = engine::make_openvino_engine(stem, "forward", options_of(2));
  const auto second = engine::make_openvino_engine(other, "forward", options_of(2));
  const at::Tensor a = first->run(pictures(2).data())[0], kept = a.clone();
  const at::Tensor b = second->run(pictures(2).data())[0];
  first->run(std::vector<uint8_t>(2 * 32 * 32 * 3, 7).data());
  CHECK(at::equal(a, kept));
  CHECK_FALSE(at::equal(a, b));
  CHECK(at::equal(first->run(pictures(2).data())[0], kept));
}

TEST_CASE("an output has the bytes it has alone, also from trunk and collect", "[unit]") {
  check_alone_and_together(test::small_net(), {"stem", "mixed_1", "mixed_2"}, 32);
  Module body = graph::extract(test::small_net(), {"mixed_2"});
  const std::string all = graph::collect(body, {"stem", "mixed_1"});
  for (const tensor::Precision precision : precisions()) {
    engine::EngineOptions options = options_of(2);
    options.precision = precision;
    const auto collected = run_openvino(body, all, options);
    REQUIRE(collected.size() == 3);
    const auto alone = [&](const std::string& method) { return run_openvino(body, method, options)[0]; };
    CHECK(at::equal(collected[0], alone(graph::split(body, "stem").trunk_method)));
    CHECK(at::equal(collected[1], alone(graph::split(body, "mixed_1").trunk_method)));
    CHECK(at::equal(collected[2], alone("forward")));
  }
}

TEST_CASE("response norms, and what looks like them, give what LibTorch gives", "[unit]") {
  // As torch.nn.functional writes local_response_norm out: the padding, the pool's kernel, what is squared and divided.
  struct Row {
    const char *pad, *kernel, *squared, *divided, *power;
  };
  const std::vector<Row> rows = {{"0, 0, 0, 0, 1, 1", "3, 1, 1", "y, y", "y", "0.75"},  // a norm over 3 channels
                                 {"0, 0, 0, 0, 2, 2", "5, 1, 1", "y, y", "y", "0.5"},   // over 5
                                 {"0, 0, 0, 0, 2, 1", "4, 1, 1", "y, y", "y", "0.75"},  // over 4: not in the middle
                                 {"0, 0, 0, 0, 2, 0", "3, 1, 1", "y, y", "y", "0.75"},  // over those before
                                 {"0, 0, 1, 1, 0, 0", "1, 3, 1", "y, y", "y", "0.75"},  // over rows of pixels
                                 {"0, 0, 0, 0, 1, 1", "3, 1, 1", "y, x", "y", "0.75"},
                                 {"0, 0, 0, 0, 1, 1", "3, 1, 1", "y, y", "x", "0.75"}};
  for (const Row& row : rows) {
    INFO(row.pad << " | " << row.kernel << " | " << row.squared << " | " << row.divided);
    const Module body =
        net_of(text::cat("  y = torch.relu(x)\n"
                         "  s = torch.size(y)\n"
                         "  m = torch.view(torch.unsqueeze(torch.mul(",
                         row.squared,
                         "), 1), [s[0], 1, s[1], s[2], -1])\n"
                         "  m = torch.avg_pool3d(torch.constant_pad_nd(m, [",
                         row.pad, "], 0.), [", row.kernel,
                         "], [1, 1, 1])\n"
                         "  m = torch.view(torch.squeeze(m, 1), s)\n"
                         "  return torch.div(",
                         row.divided, ", torch.pow(torch.add(torch.mul(m, 0.5), 2.), ", row.power, "))\n"));
    CHECK(difference(body, options_of(2)) < kBound);
  }
}

TEST_CASE("the module is left as it was", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  for (const at::Tensor& parameter : body.parameters()) parameter.requires_grad_(true);
  const std::string digest = digest_of(body), code = body.get_method("forward").graph()->toString();
  const at::Tensor weight = body.parameters().begin().operator*();
  const void* place = weight.const_data_ptr();
  run_openvino(body, "forward", options_of(2));
  CHECK(digest_of(body) == digest);
  CHECK(body.get_method("forward").graph()->toString() == code);
  CHECK(weight.const_data_ptr() == place);
  for (const at::Tensor& parameter : body.parameters()) CHECK(parameter.requires_grad());
}

TEST_CASE("norms that train cannot be frozen", "[unit]") {
  Module body = graph::extract(test::small_net(), {"mixed_2"});
  body.train();
  CHECK_THROWS_WITH(engine::make_openvino_engine(body, "forward", options_of(2)),
                    Contains("openvino: ") && Contains("training mode"));
  CHECK_FALSE(engine::make_torch_engine(body, "forward", options_of(2)) == nullptr);
}

TEST_CASE("an operator without a rule is named, and auto takes LibTorch in its place", "[unit]") {
  const Module body = net_of("  return torch.special_bessel_j0(x)\n");
  CHECK_THROWS_WITH(engine::make_openvino_engine(body, "forward", options_of(2)),
                    Contains("openvino: no rule for aten::special_bessel_j0"));
  engine::EngineOptions options = options_of(2);
  CHECK_THROWS_AS(engine::make_engine(body, "forward", options), ModelError);
  options.kind = engine::EngineKind::kAuto;
  const auto engine = engine::make_engine(body, "forward", options);
  CHECK_THAT(engine->name(), Catch::StartsWith("torch f32"));
  CHECK(engine->report().fallback == "openvino: no rule for aten::special_bessel_j0; LibTorch instead");
}

TEST_CASE("code that keeps something from run to run is refused", "[unit]") {
  for (const char* body : {"  self.kept.add_(1)\n  return x * self.kept\n", "  self.kept = x.mean()\n  return x\n",
                           "  y = x * self.kept\n  self.kept.add_(1)\n  return y\n"})
    CHECK_THROWS_WITH(engine::make_openvino_engine(net_of(body), "forward", options_of(2)), Contains("its code "));
}

TEST_CASE("code that asks about its tensors is traced", "[unit]") {
  const Module body = net_of("  if x.dtype == 6:\n    x = torch.relu(x)\n  return x.flatten(1)\n");
  CHECK(difference(body, options_of(2)) < kBound);
}

TEST_CASE("auto takes OpenVINO where nothing learns, and says what it found", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options = options_of(4);
  options.kind = engine::EngineKind::kAuto;
  const auto engine = engine::make_engine(body, "forward", options);
  const engine::EngineReport report = engine->report();
  CHECK_THAT(report.name, Catch::StartsWith("openvino "));
  CHECK(report.name == engine->name());
  CHECK(report.executed == std::map<std::string, int64_t>{{"f32", 4}});
  CHECK(report.share_as_asked == 1);
  CHECK(report.difference >= 0);
  CHECK(report.difference < kBound);
  CHECK(report.fallback.empty());
  const auto again = engine::make_engine(body, "forward", engine->options());
  CHECK(again->name() == engine->name());
  CHECK(again->report().difference < 0);  // compared before
  CHECK_THAT(engine::make_engine(body, "", options)->name(), Catch::StartsWith("torch"));
  options.is_frozen = false;
  CHECK_THAT(engine::make_engine(body, "forward", options)->name(), Catch::StartsWith("torch"));
  options.is_frozen = true;
  options.kind = engine::EngineKind::kTorch;
  CHECK_THAT(engine::make_engine(body, "forward", options)->name(), Catch::StartsWith("torch"));
}

TEST_CASE("bf16 where the CPU has a unit for it, else LibTorch, said aloud", "[unit]") {
  const Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options = options_of(2);
  options.precision = tensor::Precision::kBfloat16;
  options.kind = engine::EngineKind::kAuto;
  const auto engine = engine::make_engine(body, "forward", options);
  if (tensor::bf16_unit(at::kCPU).empty()) {
    CHECK(engine->report().fallback == "openvino: this CPU has no unit for bf16; LibTorch instead");
    CHECK_THROWS_AS(engine::make_openvino_engine(body, "forward", options), ModelError);
    return;
  }
  CHECK_THAT(engine->name(), Contains(" bf16 "));
  CHECK(engine->report().share_as_asked >= 0.9);
  CHECK(engine->report().difference > 1e-5);
  const at::Tensor first = engine->run(pictures(2).data())[0];
  CHECK(first.scalar_type() == at::kFloat);
  CHECK(at::equal(engine->run(pictures(2).data())[0], first));
}

TEST_CASE("the shared Inception v3: near LibTorch, and each output has the bytes it has alone", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  Module network = torch::jit::load(shared + "/weights/inception_v3_mixed8.pt");
  network.eval();
  const Module body = graph::extract(network, {"mixed_8"});
  CHECK(difference(body, options_of(2, 150)) < kBound);
  check_alone_and_together(network, {"mixed_2", "mixed_6", "mixed_8"}, 150);
}

TEST_CASE("the shared GoogLeNet: near LibTorch, whole and tapped", "[real]") {
  ENGRAFT_NEED_SHARED(shared);
  Module network = torch::jit::load(shared + "/weights/googlenet_imagenet1k.pt");
  network.eval();
  CHECK(difference(network, options_of(2, 224)) < kBound);
  const auto blocks = graph::analyse(network).blocks();
  std::vector<std::string> taps;
  for (const auto& block : blocks)
    if (block.legal_cut) taps.push_back(block.name);
  REQUIRE(taps.size() > 4);
  check_alone_and_together(network, {taps[taps.size() / 2], taps[taps.size() - 2]}, 224);
}
