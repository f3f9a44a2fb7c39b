#include "model/head.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/jit/api/module.h>

#include <cmath>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"
#include "model/wide_linear.h"
#include "tensor/blocks.h"

namespace engraft::model {

namespace {

constexpr double kMostBytes = 1e9;

at::Tensor uniform_tensor(std::vector<int64_t> sizes, double bound, RandomStream& stream) {
  at::Tensor out = at::empty(sizes, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  constexpr int64_t kBlock = 1 << 16;
  constexpr int64_t kDraws = 2;  // of a uniform number
  tensor::for_blocks(out.numel(), kBlock, [&](const tensor::Block& block) {
    RandomStream part = stream;
    part.skip(static_cast<uint64_t>(kDraws * block.first));
    for (int64_t i = block.first; i < block.first + block.count; ++i)
      values[i] = static_cast<float>(part.uniform(-bound, bound));
  });
  stream.skip(static_cast<uint64_t>(kDraws * out.numel()));
  return out;
}

}  // namespace

Head::Head(const HeadOptions& options) : options_(options), layers_(parse_head(options.spec)) {
  HeadLayer last;
  last.width = options.outputs;
  layers_.push_back(last);
  double parameter_count = 0;
  std::vector<std::string> terms;
  int64_t inputs = options.embedding_dim;
  for (const HeadLayer& layer : layers_) {
    if (layer.kind != HeadLayer::Kind::kLinear) continue;
    parameter_count += static_cast<double>(inputs + 1) * static_cast<double>(layer.width);
    terms.push_back(text::cat("(", inputs, " + 1) x ", layer.width));
    inputs = layer.width;
  }
  if (parameter_count * 4 > kMostBytes) {
    throw UsageError(text::cat("--head: ", text::join(terms, " + "), " weights are ", text::bytes(parameter_count * 4),
                               " in float32, more than 1 GB; use --pool avg, a smaller --size or a narrower fc"));
  }
  inputs = options.embedding_dim;
  uint64_t index = 0;
  for (const HeadLayer& layer : layers_) {
    if (layer.kind != HeadLayer::Kind::kLinear) continue;
    const std::string name = text::cat("fc", ++index);
    RandomStream stream(options.seed, {0x68656164 /* "head" */, index});
    const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
    at::Tensor weight = uniform_tensor({layer.width, inputs}, bound, stream);
    at::Tensor bias = uniform_tensor({layer.width}, bound, stream);
    parameters_.push_back({name + ".weight", weight.set_requires_grad(true)});
    parameters_.push_back({name + ".bias", bias.set_requires_grad(true)});
    outer_.push_back(std::make_unique<tensor::OuterGradient>());
    inputs = layer.width;
  }
}

Head::~Head() = default;
Head::Head(Head&&) noexcept = default;
Head& Head::operator=(Head&&) noexcept = default;

at::Tensor Head::forward(const at::Tensor& embeddings) const {
  if (embeddings.dim() != 2 || embeddings.size(1) != options_.embedding_dim) {
    throw ModelError(text::cat("the head takes embeddings [B, ", options_.embedding_dim, "], found ",
                               text::shape(embeddings.sizes().vec())));
  }
  at::Tensor x = embeddings;  // [B, D]
  size_t next = 0;
  for (const HeadLayer& layer : layers_) {
    switch (layer.kind) {
      case HeadLayer::Kind::kLinear:
        x = wide_linear(x, parameters_[next].value, parameters_[next + 1].value, outer_[next / 2].get());  // [B, width]
        next += 2;
        break;
      case HeadLayer::Kind::kRelu:
        x = at::relu(x);
        break;
      case HeadLayer::Kind::kGelu:
        x = at::gelu(x);
        break;
      case HeadLayer::Kind::kSilu:
        x = at::silu(x);
        break;
      case HeadLayer::Kind::kTanh:
        x = at::tanh(x);
        break;
      case HeadLayer::Kind::kDropout:
        x = at::dropout(x, layer.probability, training_);
        break;
    }
  }
  return x;
}

std::vector<tensor::OuterGradient*> Head::outer_gradients() const {
  std::vector<tensor::OuterGradient*> all;
  for (const auto& outer : outer_) {
    all.push_back(outer.get());
    all.push_back(nullptr);  // of the bias
  }
  return all;
}

void Head::to(const c10::Device& device) {
  for (tensor::NamedTensor& parameter : parameters_) {
    parameter.value = parameter.value.detach().to(device).set_requires_grad(true);
  }
}

torch::jit::Module Head::to_script(std::shared_ptr<torch::jit::CompilationUnit> unit) const {
  torch::jit::Module script("__torch__.engraft.Head", unit);
  std::string source = "def forward(self, x: Tensor) -> Tensor:\n";
  size_t next = 0;
  for (const HeadLayer& layer : layers_) {
    if (layer.kind == HeadLayer::Kind::kLinear) {
      const std::string name = text::cat("fc", next / 2 + 1);
      torch::jit::Module linear("__torch__.engraft.Linear" + std::to_string(next / 2 + 1), unit);
      linear.register_parameter("weight", parameters_[next].value.detach().to(at::kCPU).clone(), false);
      linear.register_parameter("bias", parameters_[next + 1].value.detach().to(at::kCPU).clone(), false);
      linear.define("def forward(self, x: Tensor) -> Tensor:\n  return torch.linear(x, self.weight, self.bias)\n");
      script.register_module(name, linear);
      source += "  x = self." + name + ".forward(x)\n";
      next += 2;
    } else if (layer.kind == HeadLayer::Kind::kDropout) {
      source += "  x = torch.dropout(x, " + text::shortest(layer.probability) + (layer.probability == 0 ? ".0" : "") +
                ", self.training)\n";
    } else {
      for (const ActivationName& known : kActivations) {
        if (known.kind == layer.kind) source += std::string("  x = ") + known.function + "(x)\n";
      }
    }
  }
  script.register_attribute("training", c10::BoolType::get(), false);
  script.define(source + "  return x\n");
  return script;
}

std::string describe(const Head& head) {
  std::vector<std::string> steps = {std::to_string(head.options().embedding_dim)};
  for (const HeadLayer& layer : parse_head(head.options().spec)) {
    if (layer.kind == HeadLayer::Kind::kLinear) steps.push_back(std::to_string(layer.width));
    if (layer.kind == HeadLayer::Kind::kDropout) steps.push_back("dropout " + text::shortest(layer.probability));
    for (const ActivationName& known : kActivations) {
      if (known.kind == layer.kind) steps.emplace_back(known.name);
    }
  }
  steps.push_back(std::to_string(head.options().outputs));
  int64_t count = 0;
  for (const tensor::NamedTensor& parameter : head.parameters()) count += parameter.value.numel();
  return text::join(steps, " → ") + ", " + text::magnitude(static_cast<double>(count)) + " parameters";
}

}  // namespace engraft::model
