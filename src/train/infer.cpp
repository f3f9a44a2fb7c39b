#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "base/stop.h"
#include "train/fit.h"

namespace engraft::train {

namespace {

// What waits for the last layers at most.
constexpr int64_t kMostRows = 256;
constexpr int64_t kMostBytes = 64 << 20;

template <class Number>
void append(const at::Tensor& tensor, at::ScalarType type, std::vector<Number>& to) {
  const at::Tensor values = tensor.to(at::kCPU, type).contiguous();
  to.insert(to.end(), values.const_data_ptr<Number>(), values.const_data_ptr<Number>() + values.numel());
}

/// Takes features batch by batch and gives them to the trainee's last layers in larger pieces. How they are pieced
/// follows from the batches' sizes alone.
class LastLayers {
 public:
  LastLayers(Trainee& trainee, Outputs& out) : trainee_(trainee), out_(out) {}

  void add(const at::Tensor& features) {
    waiting_.push_back(features);
    rows_ += features.size(0);
    const auto bytes = static_cast<int64_t>(features.nbytes()) / std::max<int64_t>(features.size(0), 1) * rows_;
    if (rows_ >= kMostRows || bytes >= kMostBytes) run();
  }

  void run() {
    if (waiting_.empty()) return;
    const at::Tensor outputs = trainee_.outputs(waiting_.size() == 1 ? waiting_.front() : at::cat(waiting_));
    out_.width = outputs.size(1);
    append<float>(outputs, at::kFloat, out_.logits);
    waiting_.clear();
    rows_ = 0;
  }

 private:
  Trainee& trainee_;
  Outputs& out_;
  std::vector<at::Tensor> waiting_;  // [B, …] each
  int64_t rows_ = 0;
};

}  // namespace

Outputs infer(Trainee& trainee, BatchSource& source, int64_t batch_size) {
  trainee.set_training(false);
  c10::NoGradGuard no_grad;
  Outputs out;
  std::vector<int64_t> in_order(static_cast<size_t>(source.rows()));
  std::iota(in_order.begin(), in_order.end(), 0);
  source.start(in_order, /*epoch=*/0, batch_size);
  LastLayers last(trainee, out);
  TrainBatch batch;
  while (source.next(batch)) {
    throw_if_stopped("evaluating");
    last.add(trainee.features(batch.inputs));
    if (batch.labels.scalar_type() == at::kLong) {
      append<int64_t>(batch.labels, at::kLong, out.labels);
    } else {
      append<double>(batch.labels, at::kDouble, out.values);
    }
  }
  last.run();
  return out;
}

}  // namespace engraft::train
