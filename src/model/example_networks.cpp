#include "model/example_networks.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "graph/archive.h"
#include "io/json.h"
#include "model/preprocessing_source.h"

namespace engraft::model {

namespace {

using torch::jit::Module;

/// A convolution `name` with weights drawn from its own stream: normal, without a mean, so that what all pictures share
/// does not drown what tells them apart.
void add_convolution(Module& block, const std::string& name, int64_t in, int64_t out, int64_t side, uint64_t seed,
                     uint64_t index) {
  constexpr double kGain = 2.5;
  at::Tensor weight = at::empty({out, in, side, side}, at::kFloat);
  RandomStream stream(seed, {0x636f6e76 /* "conv" */, index});
  float* values = weight.mutable_data_ptr<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) values[i] = static_cast<float>(stream.normal());
  weight -= weight.mean({1, 2, 3}, true);
  weight *= kGain / std::sqrt(static_cast<double>(in * side * side));
  block.register_parameter(name + "_weight", weight, false);
  block.register_parameter(name + "_bias", at::zeros({out}, at::kFloat), false);
}

/// Gabor filters of random direction, wavelength, phase and colour, as first layers of trained networks have them.
void add_gabor_filters(Module& block, const std::string& name, int64_t out, int64_t side, uint64_t seed) {
  constexpr double kTwoPi = 6.283185307179586476925;
  at::Tensor weight = at::empty({out, 3, side, side}, at::kFloat);
  float* values = weight.mutable_data_ptr<float>();
  for (int64_t filter = 0; filter < out; ++filter) {
    RandomStream stream(seed, {0x6761626f72 /* "gabor" */, static_cast<uint64_t>(filter)});
    const double angle = stream.uniform(0, kTwoPi), wavelength = stream.uniform(5, 12),
                 phase = stream.uniform(0, kTwoPi);
    for (int64_t channel = 0; channel < 3; ++channel) {
      const double tint = stream.normal();
      for (int64_t i = 0; i < side * side; ++i) {
        const double y = static_cast<double>(i / side) - (side - 1) / 2.0,
                     x = static_cast<double>(i % side) - (side - 1) / 2.0;
        const double along = x * std::cos(angle) + y * std::sin(angle);
        const double window = std::exp(-(x * x + y * y) / (0.3 * side * side));
        *values++ = static_cast<float>(tint * window * std::cos(kTwoPi * along / wavelength + phase));
      }
    }
  }
  weight -= weight.mean({1, 2, 3}, true);
  block.register_parameter(name + "_weight", weight, false);
  block.register_parameter(name + "_bias", at::zeros({out}, at::kFloat), false);
}

Module inception_block(std::shared_ptr<torch::jit::CompilationUnit> unit, const std::string& name, int64_t in,
                       int64_t width, int64_t stride, uint64_t seed, uint64_t index) {
  Module block("__torch__.engraft.example." + name, unit);
  add_convolution(block, "one", in, width, 1, seed, 10 * index);
  add_convolution(block, "three", in, width, 3, seed, 10 * index + 1);
  add_convolution(block, "pool", in, width, 1, seed, 10 * index + 2);
  const std::string s = std::to_string(stride);
  block.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  a = torch.conv2d(x, self.one_weight, self.one_bias, [" +
      s + ", " + s +
      "])\n"
      "  b = torch.conv2d(x, self.three_weight, self.three_bias, [" +
      s + ", " + s +
      "], [1, 1])\n"
      "  p = torch.avg_pool2d(x, [3, 3], [1, 1], [1, 1])\n"
      "  c = torch.conv2d(p, self.pool_weight, self.pool_bias, [" +
      s + ", " + s +
      "])\n"
      "  return torch.relu(torch.cat([a, b, c], 1))\n");
  return block;
}

std::string archive(const Module& module, const io::Json& about) {
  return graph::archive_bytes(module, {{"engraft.json", about.dump(1)}});
}

io::Json about(const std::string& name) {
  image::Preprocessing p;
  p.size_px = 64;
  p.mean = p.std = {0.5, 0.5, 0.5};
  return io::Json{{"format", "engraft-backbone"},
                  {"version", 1},
                  {"name", name},
                  {"licence", "CC0-1.0"},
                  {"preprocessing", to_json(p)}};
}

}  // namespace

std::string example_backbone(uint64_t seed) {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  Module net("__torch__.engraft.example.Tiny", unit);
  Module stem("__torch__.engraft.example.Stem", unit);
  add_gabor_filters(stem, "conv", 24, 7, seed);
  stem.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.relu(torch.conv2d(x, self.conv_weight, self.conv_bias, [2, 2], [3, 3]))\n");
  net.register_module("stem", stem);
  net.register_module("mixed_1", inception_block(unit, "Mixed1", 24, 16, 1, seed, 2));
  net.register_module("mixed_2", inception_block(unit, "Mixed2", 48, 32, 2, seed, 3));
  net.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  x = self.stem.forward(x)\n  x = self.mixed_1.forward(x)\n  return self.mixed_2.forward(x)\n");
  net.eval();
  return archive(net, about("tiny example network, random weights"));
}

std::string raw_pixels_backbone() {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  Module pixels("__torch__.engraft.example.Pixels", unit);
  pixels.register_parameter("weight", at::eye(3, at::kFloat).view({3, 3, 1, 1}), false);
  pixels.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.avg_pool2d(torch.conv2d(x, self.weight), [4, 4])\n");
  Module net("__torch__.engraft.example.RawPixels", unit);
  net.register_module("pixels", pixels);
  net.define("def forward(self, x: Tensor) -> Tensor:\n  return self.pixels.forward(x)\n");
  net.eval();
  return archive(net, about("raw pixels"));
}

}  // namespace engraft::model
