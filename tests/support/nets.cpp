#include "support/nets.h"

#include <ATen/ATen.h>

#include <fstream>

#include "base/random.h"

namespace engraft::test {

namespace {

using torch::jit::Module;

at::Tensor drawn(std::vector<int64_t> sizes, uint64_t seed, uint64_t key, double low, double high) {
  at::Tensor t = at::empty(sizes, at::kFloat);
  RandomStream stream(seed, {key});
  float* values = t.mutable_data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) values[i] = static_cast<float>(stream.uniform(low, high));
  return t;
}

Module empty_module(const std::string& name, std::shared_ptr<torch::jit::CompilationUnit> unit) {
  Module m(name, unit);
  m.register_attribute("training", c10::BoolType::get(), true);  // as every nn.Module has
  return m;
}

Module convolution(std::shared_ptr<torch::jit::CompilationUnit> unit, const std::string& name, int64_t in, int64_t out,
                   uint64_t seed, uint64_t key) {
  Module m = empty_module("__torch__.test." + name, unit);
  m.register_parameter("weight", drawn({out, in, 3, 3}, seed, key, -0.4, 0.4), false);
  m.register_parameter("bias", drawn({out}, seed, key + 1, -0.1, 0.1), false);
  m.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.conv2d(x, self.weight, self.bias, [1, 1], [1, 1])\n");
  return m;
}

Module norm(std::shared_ptr<torch::jit::CompilationUnit> unit, const std::string& name, int64_t channels, uint64_t seed,
            uint64_t key) {
  Module m = empty_module("__torch__.test." + name, unit);
  m.register_parameter("weight", drawn({channels}, seed, key, 0.5, 1.5), false);
  m.register_parameter("bias", drawn({channels}, seed, key + 1, -0.5, 0.5), false);
  m.register_buffer("running_mean", drawn({channels}, seed, key + 2, -0.5, 0.5));
  m.register_buffer("running_var", drawn({channels}, seed, key + 3, 0.5, 1.5));
  m.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.training, "
      "0.1, 1e-5, False)\n");
  return m;
}

}  // namespace

Module small_net(uint64_t seed) {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  Module stem = empty_module("__torch__.test.Stem", unit);
  stem.register_module("conv", convolution(unit, "StemConv", 3, 8, seed, 10));
  stem.register_module("bn", norm(unit, "StemNorm", 8, seed, 20));
  stem.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  return torch.relu(self.bn.forward(self.conv.forward(x)))\n");
  Module first = empty_module("__torch__.test.Mixed1", unit);
  first.register_module("left", convolution(unit, "Left", 8, 6, seed, 30));
  first.register_module("right", convolution(unit, "Right", 8, 6, seed, 40));
  first.register_module("bn", norm(unit, "Mixed1Norm", 12, seed, 50));
  first.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  x = torch.max_pool2d(x, [2, 2])\n"
      "  return torch.relu(self.bn.forward(torch.cat([self.left.forward(x), self.right.forward(x)], 1)))\n");
  Module second = empty_module("__torch__.test.Mixed2", unit);
  second.register_module("conv", convolution(unit, "Mixed2Conv", 12, 16, seed, 60));
  second.register_module("bn", norm(unit, "Mixed2Norm", 16, seed, 70));
  second.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  x = torch.relu(self.bn.forward(self.conv.forward(x)))\n"
      "  return torch.dropout(x, 0.2, self.training)\n");
  Module fc = empty_module("__torch__.test.Classifier", unit);
  fc.register_parameter("weight", drawn({7, 16}, seed, 80, -0.4, 0.4), false);
  fc.define("def forward(self, x: Tensor) -> Tensor:\n  return torch.linear(x, self.weight)\n");
  Module net = empty_module("__torch__.test.Net", unit);
  net.register_module("stem", stem);
  net.register_module("mixed_1", first);
  net.register_module("mixed_2", second);
  net.register_module("fc", fc);
  net.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "  x = self.mixed_2.forward(self.mixed_1.forward(self.stem.forward(x)))\n"
      "  return self.fc.forward(torch.mean(x, [2, 3]))\n");
  net.eval();
  return net;
}

std::string save_small_net(const std::string& folder, int size_px, uint64_t seed) {
  const std::string path = folder + "/small.pt";
  small_net(seed).save(path,
                       {{"engraft.json",
                         "{\"format\": \"engraft-backbone\", \"version\": 1, \"preprocessing\": "
                         "{\"size_px\": " +
                             std::to_string(size_px) + ", \"mean\": [0.5, 0.5, 0.5], \"std\": [0.5, 0.5, 0.5]}}"}});
  return path;
}

}  // namespace engraft::test
