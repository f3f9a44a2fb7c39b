#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/ir.h>

#include <catch2/catch.hpp>
#include <iostream>
#include <optional>

#include "base/errors.h"
#include "engine/engine.h"
#include "engine/normalise.h"
#include "graph/surgery.h"
#include "support/nets.h"
#include "tensor/device.h"
#include "tensor/named.h"

using namespace engraft;

namespace {

engine::EngineOptions options_of(int64_t batch, const c10::Device& device) {
  engine::EngineOptions options{{}, batch, device};
  options.preprocessing.size_px = 32;
  return options;
}

std::vector<uint8_t> noise(int64_t batch) {
  at::manual_seed(3);
  const at::Tensor bytes = at::randint(0, 256, {batch, 32, 32, 3}, at::kByte);
  return {bytes.const_data_ptr<uint8_t>(), bytes.const_data_ptr<uint8_t>() + bytes.numel()};
}

/// Empty after printing the line that ctest shows.
std::optional<c10::Device> gpu_or_skip() {
  try {
    return tensor::device_from_text("cuda");
  } catch (const UsageError& error) {
    std::cout << "SKIPPED: " << error.what() << std::endl;
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("the engine gives the method's outputs, one or several, without gradients", "[unit]") {
  const torch::jit::Module body = graph::extract(test::small_net(), {"stem", "mixed_2"});
  const auto engine = engine::make_torch_engine(body, "forward", options_of(2, at::kCPU));
  const auto outputs = engine->run(noise(2).data());
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0].sizes() == at::IntArrayRef({2, 8, 32, 32}));
  CHECK(outputs[1].sizes() == at::IntArrayRef({2, 16, 16, 16}));
  CHECK_FALSE(outputs[1].requires_grad());
  const auto pictures = engine::make_torch_engine(body, "", options_of(2, at::kCPU))->run(noise(2).data());
  CHECK(pictures[0].sizes() == at::IntArrayRef({2, 3, 32, 32}));
}

TEST_CASE("a row does not depend on its neighbours in the batch", "[unit]") {
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  const auto engine = engine::make_torch_engine(body, "forward", options_of(4, at::kCPU));
  std::vector<uint8_t> pixels = noise(4);
  const at::Tensor whole = engine->run(pixels.data())[0];
  std::fill(pixels.begin() + 32 * 32 * 3, pixels.end(), uint8_t{0});
  CHECK(at::equal(engine->run(pixels.data())[0][0], whole[0]));
}

TEST_CASE("a network that fails names the batch it failed on", "[unit]") {
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  engine::EngineOptions options = options_of(1, at::kCPU);
  options.preprocessing.size_px = 1;  // too small for the pooling
  const std::vector<uint8_t> pixel(3, 0);
  CHECK_THROWS_WITH(engine::make_torch_engine(body, "forward", options)->run(pixel.data()),
                    Catch::Contains("the network fails on a batch [1, 3, 1, 1]"));
}

TEST_CASE("in bf16 outputs are float32, the same every time, near those of float32 and not equal to them", "[unit]") {
  const torch::jit::Module body = graph::extract(test::small_net(), {"stem", "mixed_2"});
  const std::vector<uint8_t> pixels = noise(2);
  const auto run_in = [&](tensor::Precision precision) {
    engine::EngineOptions options = options_of(2, at::kCPU);
    options.precision = precision;
    return engine::make_torch_engine(body, "forward", options)->run(pixels.data());
  };
  const auto f32 = run_in(tensor::Precision::kFloat32), bf16 = run_in(tensor::Precision::kBfloat16);
  REQUIRE(bf16.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(bf16[i].scalar_type() == at::kFloat);
    CHECK(bf16[i].is_contiguous(at::MemoryFormat::ChannelsLast) ==
          f32[i].is_contiguous(at::MemoryFormat::ChannelsLast));
    const double difference = tensor::relative_difference(bf16[i], f32[i]);
    CHECK(difference > 1e-5);
    CHECK(difference < 3e-2);  // eight bits a value, and some layers
  }
  CHECK(at::equal(run_in(tensor::Precision::kBfloat16)[1], bf16[1]));
  CHECK(at::equal(run_in(tensor::Precision::kFloat32)[1], f32[1]));
}

TEST_CASE("the engine's name says what decides its bytes", "[unit]") {
  engine::EngineOptions options = options_of(1, at::kCPU);
  CHECK(engine::engine_name(options) == "torch f32");
  options.precision = tensor::Precision::kBfloat16;
  const std::string unit = tensor::bf16_unit(at::kCPU);
  CHECK(engine::engine_name(options) == "torch bf16 " + (unit.empty() ? "in software" : unit));
  const torch::jit::Module body = graph::extract(test::small_net(), {"stem"});
  CHECK(engine::make_torch_engine(body, "forward", options)->name() == engine::engine_name(options));
}

namespace {

/// forward(x) = relu(x) * c, where c, [3, 1, 1] of twos, stands in the code as traces leave such tensors.
torch::jit::Module net_with_constant() {
  torch::jit::Module module("__torch__.test.Constant");
  module.define("def forward(self, x: Tensor) -> Tensor:\n  return torch.mul(torch.relu(x), torch.relu(x))\n");
  torch::jit::Graph& graph = *module.get_method("forward").graph();
  torch::jit::Node* product = graph.outputs()[0]->node();
  const torch::jit::WithInsertPoint before(product);
  product->replaceInput(1, graph.insertConstant(at::full({3, 1, 1}, 2.0)));
  return module;
}

}  // namespace

TEST_CASE("a constant replaced in place is replaced in what was compiled before", "[unit]") {
  const torch::jit::Module module = net_with_constant();
  const std::vector<uint8_t> pixels = noise(1);
  const auto engine = engine::make_torch_engine(module, "forward", options_of(1, at::kCPU));
  const at::Tensor input = engine::make_torch_engine(module, "", options_of(1, at::kCPU))->run(pixels.data())[0];
  CHECK(at::equal(engine->run(pixels.data())[0], input.relu() * 2));
  torch::jit::Node* product = module.get_method("forward").graph()->outputs()[0]->node();
  at::Tensor constant = product->input(1)->node()->t(c10::attr::value);
  constant.set_data(at::full({3, 1, 1}, 3.0));  // as it is moved to another device
  CHECK(at::equal(engine->run(pixels.data())[0], input.relu() * 3));
}

TEST_CASE("constants of the code follow the network to the GPU, also after it ran on the CPU", "[gpu]") {
  const auto gpu = gpu_or_skip();
  if (!gpu) return;
  const torch::jit::Module module = net_with_constant();
  const std::vector<uint8_t> pixels = noise(1);
  const auto run_on = [&](const c10::Device& where) {
    return engine::make_torch_engine(module, "forward", options_of(1, where))->run(pixels.data())[0].to(at::kCPU);
  };
  const at::Tensor on_cpu = run_on(at::kCPU);
  CHECK(at::allclose(run_on(*gpu), on_cpu));
  CHECK(at::equal(run_on(at::kCPU), on_cpu));
}

TEST_CASE("the GPU in bf16 gives float32 outputs near those of float32", "[gpu]") {
  const auto gpu = gpu_or_skip();
  if (!gpu) return;
  engine::EngineOptions options = options_of(4, *gpu);
  const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
  const std::vector<uint8_t> pixels = noise(4);
  const at::Tensor f32 = engine::make_torch_engine(body, "forward", options)->run(pixels.data())[0];
  options.precision = tensor::Precision::kBfloat16;
  const at::Tensor bf16 = engine::make_torch_engine(body, "forward", options)->run(pixels.data())[0];
  CHECK(bf16.scalar_type() == at::kFloat);
  CHECK(tensor::relative_difference(bf16, f32) > 1e-5);
  CHECK(tensor::relative_difference(bf16, f32) < 3e-2);
}

TEST_CASE("a network that is recorded on the GPU gives the bytes of the one that is not, run after run", "[gpu]") {
  const auto gpu = gpu_or_skip();
  if (!gpu) return;
  engine::EngineOptions options = options_of(4, *gpu);
  const torch::jit::Module body = graph::extract(test::small_net(), {"stem", "mixed_2"});
  const auto plain = engine::make_engine(body, "forward", options);
  CHECK(plain->name() == "torch f32");
  options.is_frozen = true;
  const auto recorded = engine::make_engine(body, "forward", options);
  CHECK(recorded->report().fallback.empty());
  if (recorded->name() == "torch f32") {
    std::cout << "SKIPPED: this build has no engraft_cuda.so (preset cuda)" << std::endl;
    return;
  }
  CHECK(recorded->name() == "torch f32 graph");
  CHECK(recorded->report().difference == 0);
  std::vector<at::Tensor> kept;
  std::vector<uint8_t> pixels = noise(4);
  for (int times = 0; times < 5; ++times) {
    for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(pixel + times * 37);
    const auto expected = plain->run(pixels.data()), found = recorded->run(pixels.data());
    REQUIRE(found.size() == 2);
    for (size_t i = 0; i < 2; ++i) CHECK(at::equal(found[i], expected[i]));
    if (times == 0) kept = {found[0], expected[0]};
  }
  CHECK(at::equal(kept[0], kept[1]));  // outputs stay what they were
}

TEST_CASE("the GPU gives what the CPU gives, to the precision of its convolutions", "[gpu]") {
  const auto gpu = gpu_or_skip();
  if (!gpu) return;
  const std::vector<uint8_t> pixels = noise(4);
  const auto run_on = [&](const c10::Device& where) {
    const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
    return engine::make_torch_engine(body, "forward", options_of(4, where))->run(pixels.data())[0];
  };
  const at::Tensor on_gpu = run_on(*gpu);
  CHECK(on_gpu.is_cuda());
  CHECK(tensor::relative_difference(on_gpu, run_on(at::kCPU)) < 1e-2);  // tf32 keeps ten bits
}
