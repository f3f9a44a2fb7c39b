#include "model/network_builder.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/random.h"

namespace engraft::model {

namespace {

using torch::jit::Module;

constexpr uint64_t kWeights = 0x6e6577;  // "new"

/// `draw(stream)` for every element, rounded to float32.
template <class Draw>
at::Tensor filled(const std::vector<int64_t>& sizes, RandomStream stream, const Draw& draw) {
  at::Tensor weight = at::empty(sizes, at::kFloat);
  float* values = weight.mutable_data_ptr<float>();
  for (int64_t i = 0; i < weight.numel(); ++i) values[i] = static_cast<float>(draw(stream));
  return weight.set_requires_grad(true);
}

void register_slot(Module& module, const Slot& slot) {
  if (slot.value.isTensor()) {
    const at::Tensor& value = slot.value.toTensor();
    module.register_parameter(slot.name, value, /*is_buffer=*/!value.requires_grad());
  } else if (slot.value.isModule()) {
    module.register_module(slot.name, slot.value.toModule());
  } else {
    module.register_attribute(slot.name, slot.value.type(), slot.value);
  }
}

}  // namespace

NetworkBuilder::NetworkBuilder(uint64_t seed) : seed_(seed), unit_(std::make_shared<torch::jit::CompilationUnit>()) {}

Module NetworkBuilder::module(const std::string& class_name, const std::vector<Slot>& slots,
                              const std::string& source) {
  const std::string qualified = "__torch__.engraft.network." + class_name;
  if (const auto known = unit_->get_class(c10::QualifiedName(qualified))) {
    Module module(unit_, known);
    module.setattr("training", true);
    for (const Slot& slot : slots) module.setattr(slot.name, slot.value);
    return module;
  }
  Module module(qualified, unit_);
  module.register_attribute("training", c10::BoolType::get(), true);
  for (const Slot& slot : slots) register_slot(module, slot);
  module.define(source);
  return module;
}

Module NetworkBuilder::batch_norm(int64_t channels) {
  return module("BatchNorm2d",
                {{"weight", constant({channels}, 1)},
                 {"bias", constant({channels}, 0)},
                 {"running_mean", at::zeros({channels}, at::kFloat)},
                 {"running_var", at::ones({channels}, at::kFloat)},
                 {"num_batches_tracked", at::zeros({}, at::kLong)}},
                "def forward(self, x: Tensor) -> Tensor:\n"
                "  if self.training:\n"
                "    self.num_batches_tracked.add_(1)\n"
                "  return torch.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, "
                "self.training, 0.1, 0.001, True)\n");
}

at::Tensor NetworkBuilder::he_normal(const std::vector<int64_t>& sizes) {
  const double deviation = std::sqrt(2.0 / static_cast<double>(sizes[0] * sizes[2] * sizes[3]));
  return filled(sizes, RandomStream(seed_, {kWeights, drawn_++}),
                [&](RandomStream& stream) { return deviation * stream.normal(); });
}

at::Tensor NetworkBuilder::glorot_uniform(const std::vector<int64_t>& sizes) {
  const double bound = std::sqrt(6.0 / static_cast<double>((sizes[0] + sizes[1]) * sizes[2] * sizes[3]));
  return filled(sizes, RandomStream(seed_, {kWeights, drawn_++}),
                [&](RandomStream& stream) { return stream.uniform(-bound, bound); });
}

at::Tensor NetworkBuilder::constant(const std::vector<int64_t>& sizes, double value) const {
  return at::full(sizes, value, at::kFloat).set_requires_grad(true);
}

}  // namespace engraft::model
