#include <ATen/ATen.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/GradMode.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <array>

#include "base/errors.h"
#include "engine/device_graph.h"

namespace engraft::engine {

namespace {

/// cuDNN chooses its algorithms and LibTorch makes its handles in the first runs.
constexpr int kRunsBefore = 3;

class CudaGraph final : public DeviceGraph {
 public:
  explicit CudaGraph(const DeviceGraphRequest& request) : device_(at::kCUDA, static_cast<int8_t>(request.device)) {
    const c10::NoGradGuard no_grad;
    const c10::cuda::CUDAGuard on_device(device_);
    const auto bytes = at::TensorOptions().dtype(at::kByte);
    for (Upload& upload : uploads_) upload.host = at::empty(request.sizes, bytes.pinned_memory(true));
    pixels_ = at::zeros(request.sizes, bytes.device(device_));
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device_.index());
    c10::cuda::getCurrentCUDAStream(device_.index()).synchronize();
    {
      const c10::cuda::CUDAStreamGuard on_stream(stream);
      for (int i = 0; i < kRunsBefore; ++i) request.work(pixels_);
      stream.synchronize();
      record(request);
    }
    stream.synchronize();
  }

  std::vector<at::Tensor> run(const uint8_t* pixels) override {
    const c10::NoGradGuard no_grad;
    const c10::cuda::CUDAGuard on_device(device_);
    Upload& upload = uploads_[next_];
    next_ = (next_ + 1) % uploads_.size();
    if (upload.is_used) upload.is_read.synchronize();
    std::copy_n(pixels, upload.host.numel(), upload.host.data_ptr<uint8_t>());
    pixels_.copy_(upload.host, /*non_blocking=*/true);
    upload.is_read.record();
    upload.is_used = true;
    graph_.replay();
    std::vector<at::Tensor> outputs;
    for (const at::Tensor& output : outputs_) outputs.push_back(output.clone());
    return outputs;
  }

 private:
  /// Of this thread alone: others decode pictures, and pinned memory that they ask for would spoil a record of all.
  void record(const DeviceGraphRequest& request) {
    graph_.capture_begin(/*pool=*/{0, 0}, cudaStreamCaptureModeThreadLocal);
    try {
      outputs_ = request.work(pixels_);
    } catch (...) {
      try {
        graph_.capture_end();  // the stream can be used again
      } catch (const std::exception&) {
        // What made the work fail is what is told.
      }
      throw;
    }
    graph_.capture_end();
  }

  struct Upload {
    at::Tensor host;  // uint8, pinned
    at::cuda::CUDAEvent is_read;
    bool is_used = false;
  };

  c10::Device device_;
  std::array<Upload, 2> uploads_;
  size_t next_ = 0;
  at::Tensor pixels_;  // uint8, on the GPU, as all that is recorded reads it
  std::vector<at::Tensor> outputs_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

}  // namespace engraft::engine

extern "C" __attribute__((visibility("default"))) engraft::engine::DeviceGraph* engraft_make_device_graph_1(
    const engraft::engine::DeviceGraphRequest& request) {
  using namespace engraft;
  try {
    return new engine::CudaGraph(request);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw ModelError("CUDA graph: " + what.substr(0, what.find('\n')));
  }
}
