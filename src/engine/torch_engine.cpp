#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include "base/errors.h"
#include "base/text.h"
#include "engine/engine.h"
#include "engine/normalise.h"
#include "graph/reason.h"

namespace engraft::engine {

namespace {

class TorchEngine : public Engine {
 public:
  TorchEngine(const torch::jit::Module& module, const std::string& method, const EngineOptions& options)
      : module_(module), method_(method), options_(options) {
    prepare_module(module_, options_.device);
  }

  std::string name() const override { return "torch f32"; }
  const EngineOptions& options() const override { return options_; }

  std::vector<at::Tensor> run(const uint8_t* pixels) override {
    const int64_t size = options_.preprocessing.size_px;
    // from_blob takes a mutable pointer; nothing writes through it.
    const at::Tensor bytes =
        at::from_blob(const_cast<uint8_t*>(pixels), {options_.batch_size, size, size, 3}, at::kByte);
    c10::NoGradGuard no_grad;
    const torch::jit::GraphOptimizerEnabledGuard unoptimised(false);  // the first batch takes the path of the last
    try {
      const at::Tensor x = normalise(bytes, options_.preprocessing, options_.device);  // [B, 3, H, W]
      if (method_.empty()) return {x};
      const c10::IValue out = module_.get_method(method_)({x});
      std::vector<at::Tensor> outputs;
      if (out.isTensor()) {
        outputs.push_back(out.toTensor());
      } else {
        for (const c10::IValue& item : out.toTupleRef().elements()) outputs.push_back(item.toTensor());
      }
      for (const at::Tensor& output : outputs) check_rows(output);
      return outputs;
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw ModelError(text::cat("the network fails on a batch [", options_.batch_size, ", 3, ", size, ", ", size,
                                 "]: ", graph::reason(error)));
    }
  }

 private:
  /// A trace with a batch size of its own gives other rows than it was given.
  void check_rows(const at::Tensor& output) const {
    if (output.dim() > 0 && output.size(0) == options_.batch_size) return;
    throw ModelError(text::cat("it gives ", text::shape(output.sizes().vec()), " for ", options_.batch_size,
                               " pictures; a trace with a fixed batch size cannot be used"));
  }

  torch::jit::Module module_;
  std::string method_;
  EngineOptions options_;
};

}  // namespace

void prepare_module(const torch::jit::Module& module, const c10::Device& device) {
  c10::NoGradGuard no_grad;
  const auto move = [&](at::Tensor tensor) {
    at::Tensor moved = tensor.detach().to(device);
    if (moved.dim() == 4) moved = moved.contiguous(at::MemoryFormat::ChannelsLast);
    if (!moved.is_same(tensor)) tensor.set_data(moved);
  };
  for (const at::Tensor& parameter : module.parameters(true)) move(parameter);
  for (const at::Tensor& buffer : module.buffers(true)) move(buffer);
}

std::unique_ptr<Engine> make_torch_engine(const torch::jit::Module& module, const std::string& method,
                                          const EngineOptions& options) {
  return std::make_unique<TorchEngine>(module, method, options);
}

std::vector<at::Tensor> run_grey(const torch::jit::Module& module, const std::string& method,
                                 const image::Preprocessing& preprocessing) {
  const std::vector<uint8_t> grey(static_cast<size_t>(preprocessing.size_px) * preprocessing.size_px * 3, 128);
  return make_torch_engine(module, method, {preprocessing, 1, c10::Device(c10::kCPU)})->run(grey.data());
}

}  // namespace engraft::engine
