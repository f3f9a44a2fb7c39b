#include "graph/nets.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>

#include <sstream>
#include <stdexcept>

namespace engraft::test {

using torch::jit::Module;

namespace {

at::Tensor normal(at::IntArrayRef sizes, uint64_t seed) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed));
}

at::Tensor weight(at::IntArrayRef sizes, uint64_t seed) { return (normal(sizes, seed) * 0.3).requires_grad_(); }

}  // namespace

Module make_module(const std::string& type, const std::string& methods) {
  Module module("__torch__.tiny." + type);
  module.register_attribute("training", c10::BoolType::get(), true);
  if (!methods.empty()) module.define(methods);
  return module;
}

Module make_conv(int64_t in, int64_t out, uint64_t seed) {
  Module module = make_module("Conv");
  module.register_parameter("weight", weight({out, in, 3, 3}, seed), false);
  module.register_parameter("bias", weight({out}, seed + 1), false);
  module.define("def forward(self, x):\n  return torch.conv2d(x, self.weight, self.bias, [1, 1], [1, 1])\n");
  return module;
}

Module make_relu() { return make_module("Relu", "def forward(self, x):\n  return torch.relu_(x)\n"); }

Module make_norm(int64_t channels) {
  Module module = make_module("Norm");
  module.register_parameter("weight", at::full({channels}, 1.5).requires_grad_(), false);
  module.register_parameter("bias", at::full({channels}, 0.25).requires_grad_(), false);
  module.register_buffer("running_mean", at::full({channels}, 0.125));
  module.register_buffer("running_var", at::full({channels}, 2.0));
  module.register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  module.define(R"(
def forward(self, x):
  if self.training:
    self.num_batches_tracked.add_(1)
  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, self.training, 0.1, 1e-5, False)
)");
  return module;
}

Module make_dropout(double p) {
  Module module = make_module("Dropout");
  module.register_attribute("p", c10::FloatType::get(), p);
  module.define("def forward(self, x):\n  return torch.dropout(x, self.p, self.training)\n");
  return module;
}

Module make_linear(int64_t in, int64_t out, uint64_t seed) {
  Module module = make_module("Linear");
  module.register_parameter("weight", weight({out, in}, seed), false);
  module.register_parameter("bias", weight({out}, seed + 1), false);
  module.define(R"(
def forward(self, x):
  if x.dim() == 4:
    x = torch.mean(x, [2, 3])
  return torch.linear(x, self.weight, self.bias)
)");
  return module;
}

Module make_chain(const std::string& type, const std::vector<Module>& children) {
  Module module = make_module(type);
  std::string code = "def forward(self, x):\n";
  for (size_t i = 0; i < children.size(); ++i) {
    const std::string name = std::to_string(i);
    module.register_module(name, children[i]);
    code += "  x = getattr(self, \"" + name + "\").forward(x)\n";
  }
  module.define(code + "  return x\n");
  return module;
}

Module make_net(const std::string& name) {
  Module net = make_module("Net" + name);
  const auto add = [&](const std::string& child, const Module& module) { net.register_module(child, module); };
  if (name == "chain") {
    add("conv1", make_conv(3, 4, 10));
    add("relu", make_relu());
    add("conv2", make_conv(4, 4, 20));
    add("features", make_chain("Sequential", {make_conv(4, 4, 30), make_relu()}));
    add("fc", make_linear(4, 5, 40));
    net.define(R"(
def forward(self, x):
  x = self.relu.forward(self.conv1.forward(x))
  x = torch.max_pool2d(self.conv2.forward(x), [2, 2])
  return self.fc.forward(self.features.forward(x))
)");
  } else if (name == "residual") {
    add("stem", make_conv(3, 4, 10));
    add("body1", make_conv(4, 4, 20));
    add("body2", make_conv(4, 4, 30));
    add("fc", make_linear(4, 5, 40));
    net.define(R"(
def forward(self, x):
  x = self.stem.forward(x)
  x = self.body1.forward(x) + x
  x = self.body2.forward(x).add_(x)
  return self.fc.forward(x)
)");
  } else if (name == "twice" || name == "loop") {
    add("stem", make_conv(3, 4, 10));
    add("same", make_conv(4, 4, 20));
    add("fc", make_linear(4, 5, 40));
    net.define(name == "twice" ? R"(
def forward(self, x):
  return self.fc.forward(self.same.forward(torch.relu(self.same.forward(self.stem.forward(x)))))
)"
                               : R"(
def forward(self, x):
  x = self.stem.forward(x)
  for i in range(3):
    x = torch.relu(self.same.forward(x))
  return self.fc.forward(x)
)");
  } else if (name == "branchy") {
    add("stem", make_conv(3, 4, 10));
    add("a", make_conv(4, 4, 20));
    add("b", make_conv(4, 4, 30));
    add("fc", make_linear(4, 5, 40));
    net.define(R"(
def forward(self, x):
  x = self.stem.forward(x)
  if bool(x.sum() > 0):
    x = self.a.forward(x)
  else:
    x = self.b.forward(x)
  return self.fc.forward(x)
)");
  } else if (name == "tuple") {
    add("stem", make_conv(3, 4, 10));
    add("pair", make_module("Pair", "def forward(self, x):\n  return (x + 1, x * 2)\n"));
    add("fc", make_linear(4, 5, 40));
    net.define(R"(
def forward(self, x):
  a, b = self.pair.forward(self.stem.forward(x))
  return self.fc.forward(a + b)
)");
  } else if (name == "modes") {
    add("stem", make_conv(3, 4, 10));
    add("norm", make_norm(4));
    add("dropout", make_dropout(0.5));
    add("fc", make_linear(4, 5, 40));
    net.define(R"(
def forward(self, x):
  return self.fc.forward(self.dropout.forward(self.norm.forward(self.stem.forward(x))))
)");
  } else if (name == "aux") {
    add("stem", make_conv(3, 4, 10));
    add("aux", make_linear(4, 5, 50));
    add("body", make_conv(4, 4, 20));
    add("fc", make_linear(4, 5, 40));
    net.register_attribute("aux_on", c10::BoolType::get(), true);
    net.register_attribute("scale", c10::FloatType::get(), 0.5);
    net.register_parameter("shift", at::full({1, 4, 1, 1}, 0.5).requires_grad_(), false);
    net.register_parameter("spare", at::full({3}, 0.5).requires_grad_(), false);
    net.define(R"(
def _forward(self, x):
  x = self.stem.forward(x * self.scale) + self.shift
  aux = x
  if self.training and self.aux_on:
    aux = self.aux.forward(x)
  return self.fc.forward(self.body.forward(x)), aux

def forward(self, x):
  y, aux = self._forward(x)
  if self.training:
    y = y + aux
  return y
)");
  } else if (name == "wrapper") {
    add("inner", make_net("chain"));
    net.define("def forward(self, x):\n  return self.inner.forward(x)\n");
  } else {
    throw std::invalid_argument("no tiny net " + name);
  }
  net.eval();
  return net;
}

at::Tensor input_of(int64_t batch, uint64_t seed) { return normal({batch, 3, 8, 8}, seed); }

std::string bytes_of(const Module& module) {
  std::string bytes;
  torch::jit::ExportModule(module, [&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  return bytes;
}

Module from_bytes(const std::string& bytes) {
  std::istringstream in(bytes);
  return torch::jit::load(in);
}

bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() && at::equal(a, b);
}

}  // namespace engraft::test
