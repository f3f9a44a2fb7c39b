#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "base/errors.h"
#include "base/text.h"
#include "engine/device_graph.h"
#include "engine/engine.h"
#include "engine/folded_network.h"
#include "engine/normalise.h"
#include "graph/reason.h"

namespace engraft::engine {

namespace {

/// How a frozen network is made faster, for its name: "folded" on the CPU, "graph" on a GPU.
const char* shortcut_of(const EngineOptions& options) { return options.device.is_cpu() ? " folded" : " graph"; }

std::string plain_name(const EngineOptions& options) {
  const std::string name = "torch " + tensor::to_text(options.precision);
  if (options.precision == tensor::Precision::kFloat32) return name;
  const std::string unit = tensor::bf16_unit(options.device);
  return name + " " + (unit.empty() ? "in software" : unit);
}

class TorchEngine : public Engine {
 public:
  TorchEngine(const torch::jit::Module& module, const std::string& method, const EngineOptions& options)
      : module_(module), method_(method), options_(options), normalise_(options.preprocessing, options.device) {
    prepare_module(module_, options_.device);
    if (!options_.is_frozen || method_.empty()) return;
    const int64_t batch = options_.batch_size, size = options_.preprocessing.size_px;
    if (options_.device.is_cpu()) {
      folded_ = FoldedNetwork::make(module_, method_, {batch, 3, size, size}, options_.precision);
    } else {
      record({batch, size, size, 3});
    }
  }

  std::string name() const override {
    return plain_name(options_) + (folded_ != nullptr || graph_ != nullptr ? shortcut_of(options_) : "");
  }
  const EngineOptions& options() const override { return options_; }
  EngineReport report() const override { return {name(), {}, 1, -1, problem_}; }

  std::vector<at::Tensor> run(const uint8_t* pixels) override {
    if (graph_ != nullptr) return graph_->run(pixels);
    const int64_t size = options_.preprocessing.size_px;
    // from_blob takes a mutable pointer; nothing writes through it.
    return outputs_of(at::from_blob(const_cast<uint8_t*>(pixels), {options_.batch_size, size, size, 3}, at::kByte));
  }

 private:
  void record(const std::vector<int64_t>& sizes) {
    try {
      graph_ = make_device_graph(
          {sizes, options_.device.index(), [this](const at::Tensor& bytes) { return outputs_of(bytes); }});
    } catch (const ModelError& error) {
      problem_ = text::cat(error.what(), "; every operation is started by itself instead");
    }
  }

  /// Of uint8 [B, S, S, 3].
  std::vector<at::Tensor> outputs_of(const at::Tensor& bytes) {
    const c10::NoGradGuard no_grad;
    const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);  // the first batch takes the path of the last
    try {
      const at::Tensor x = normalise_(bytes);  // [B, 3, S, S]
      if (method_.empty()) return {x};
      std::vector<at::Tensor> outputs = outputs_of_network(x);
      for (at::Tensor& output : outputs) {
        check_rows(output);
        if (output.scalar_type() == at::kBFloat16) output = output.to(at::kFloat);
      }
      return outputs;
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      const int64_t size = options_.preprocessing.size_px;
      throw ModelError(text::cat("the network fails on a batch [", options_.batch_size, ", 3, ", size, ", ", size,
                                 "]: ", graph::reason(error)));
    }
  }

  std::vector<at::Tensor> outputs_of_network(const at::Tensor& x) {
    const tensor::AutocastGuard autocast(options_.precision, options_.device);
    if (folded_ != nullptr) return folded_->run(x);
    const c10::IValue out = module_.get_method(method_)({x});
    if (out.isTensor()) return {out.toTensor()};
    std::vector<at::Tensor> outputs;
    for (const c10::IValue& item : out.toTupleRef().elements()) outputs.push_back(item.toTensor());
    return outputs;
  }

  /// A trace with a batch size of its own gives other rows than it was given.
  void check_rows(const at::Tensor& output) const {
    if (output.dim() > 0 && output.size(0) == options_.batch_size) return;
    throw ModelError(text::cat("it gives ", text::shape(output.sizes().vec()), " for ", options_.batch_size,
                               " pictures; a trace with a fixed batch size cannot be used"));
  }

  torch::jit::Module module_;
  std::string method_;
  EngineOptions options_;
  Normaliser normalise_;
  std::unique_ptr<FoldedNetwork> folded_;  // these two null: the module runs as it is
  std::unique_ptr<DeviceGraph> graph_;
  std::string problem_;
};

/// A traced graph keeps tensors made while it was traced as constants, on the device they had there. They are moved in
/// place, since compiled copies of the graph share them. Those of no dimension go with tensors of any device.
template <class Move>
void move_constants(torch::jit::Block* block, const Move& move) {
  for (torch::jit::Node* node : block->nodes()) {
    for (torch::jit::Block* inner : node->blocks()) move_constants(inner, move);
    const bool is_tensor = node->kind() == c10::prim::Constant && node->hasAttribute(c10::attr::value) &&
                           node->kindOf(c10::attr::value) == torch::jit::AttributeKind::t;
    if (is_tensor && node->t(c10::attr::value).dim() > 0) move(node->t(c10::attr::value));
  }
}

}  // namespace

std::string engine_name(const EngineOptions& options) {
  return plain_name(options) + (options.is_frozen ? shortcut_of(options) : "");
}

void prepare_module(const torch::jit::Module& module, const c10::Device& device) {
  c10::NoGradGuard no_grad;
  const auto move = [&](at::Tensor tensor) {
    at::Tensor moved = tensor.detach().to(device);
    if (!moved.is_non_overlapping_and_dense()) moved = moved.contiguous();  // fused updates go by address
    if (moved.dim() == 4) moved = moved.contiguous(at::MemoryFormat::ChannelsLast);
    if (!moved.is_same(tensor)) tensor.set_data(moved);
  };
  for (const at::Tensor& parameter : module.parameters(true)) move(parameter);
  for (const at::Tensor& buffer : module.buffers(true)) move(buffer);
  const auto move_constant = [&](at::Tensor tensor) {
    if (tensor.device() != device) tensor.set_data(tensor.detach().to(device));
  };
  for (const torch::jit::Module& part : module.modules()) {
    for (const torch::jit::Method& method : part.get_methods()) move_constants(method.graph()->block(), move_constant);
  }
}

std::unique_ptr<Engine> make_torch_engine(const torch::jit::Module& module, const std::string& method,
                                          const EngineOptions& options) {
  if (options.precision == tensor::Precision::kInt8) throw ModelError("torch: has no int8; OpenVINO has");
  return std::make_unique<TorchEngine>(module, method, options);
}

std::vector<at::Tensor> run_grey(const torch::jit::Module& module, const std::string& method,
                                 const image::Preprocessing& preprocessing) {
  const std::vector<uint8_t> grey(static_cast<size_t>(preprocessing.size_px) * preprocessing.size_px * 3, 128);
  return make_torch_engine(module, method, {preprocessing, 1, c10::Device(c10::kCPU)})->run(grey.data());
}

}  // namespace engraft::engine
