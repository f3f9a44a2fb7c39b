#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <iostream>

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

TEST_CASE("the GPU gives what the CPU gives, to the precision of its convolutions", "[gpu]") {
  c10::Device device(c10::kCPU);
  try {
    device = tensor::device_from_text("cuda");
  } catch (const UsageError& error) {
    std::cout << "SKIPPED: " << error.what() << std::endl;
    return;
  }
  const std::vector<uint8_t> pixels = noise(4);
  const auto run_on = [&](const c10::Device& where) {
    const torch::jit::Module body = graph::extract(test::small_net(), {"mixed_2"});
    return engine::make_torch_engine(body, "forward", options_of(4, where))->run(pixels.data())[0];
  };
  const at::Tensor on_gpu = run_on(device);
  CHECK(on_gpu.is_cuda());
  CHECK(tensor::relative_difference(on_gpu, run_on(at::kCPU)) < 1e-2);  // tf32 keeps ten bits
}
