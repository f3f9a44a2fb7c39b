#include "train/packed_heads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "tensor/blocks.h"
#include "train/head_ops.h"
#include "train/head_softmax.h"
#include "train/packed_layer.h"

namespace engraft::train {

namespace {

constexpr int64_t kCacheBytes = 512 << 10;  // of weights and slots that a core keeps, beside a batch
constexpr int64_t kMaskBytes = 32 << 20;    // of what several steps drop

}  // namespace

/// One step's batch as a block of heads reads it.
struct PackedHeads::Batch {
  Batch(int64_t number, const WeighedLabels& given, PackedStep how)
      : count(number), labels(given), step(std::move(how)) {}

  PackedRows rows;
  int64_t count;  // of rows; those of `rows` are filled up
  WeighedLabels labels;
  PackedStep step;
  /// For each head, of each of its dropouts, what [H, padded] is multiplied by. Empty: they do nothing.
  std::vector<std::vector<at::Tensor>> masks;
};

/// What the way back needs of the way there, for a block of heads.
struct PackedHeads::Pass {
  struct Layer {
    std::vector<at::Tensor> values;  // before each op, and behind the last: [heads, out, padded]
    std::vector<PackedRows> inputs;  // of each head; none for the first layer
  };
  std::vector<Layer> layers;
};

bool PackedHeads::can_learn(const LossOptions& loss, const OptimizerSpec& rule) {
  return !head_kernels().empty() && loss.target == Target::kSoftmax && loss.teacher.weight == 0 &&
         head_rule(rule).has_value();
}

PackedHeads::PackedHeads(const HeadStackShape& shape, const std::vector<std::vector<at::Tensor>>& parameters,
                         const LossOptions& loss, const std::vector<OptimizerSpec>& rules, const HeadKernels* kernels)
    : shape_(shape), loss_(loss) {
  const c10::NoGradGuard no_grad;
  const int64_t classes = parameters.front().back().size(0);
  const auto given = static_cast<int64_t>(loss.class_weights.size());
  if (given != 0 && given != classes)
    throw UsageError(text::cat("class weights: expected ", classes, ", one for each class, found ", given));
  for (size_t layer = 0; layer < shape.ops.size(); ++layer) {
    std::vector<at::Tensor> weights, biases;
    for (const std::vector<at::Tensor>& own : parameters) {
      weights.push_back(own[2 * layer]);
      biases.push_back(own[2 * layer + 1]);
    }
    layers_.emplace_back(weights, biases, rules, kernels != nullptr ? *kernels : *head_kernels().front());
  }
}

PackedHeads::~PackedHeads() = default;
PackedHeads::PackedHeads(PackedHeads&&) noexcept = default;
PackedHeads& PackedHeads::operator=(PackedHeads&&) noexcept = default;

int64_t PackedHeads::block() const {
  int64_t bytes = 0;
  for (const PackedLayer& layer : layers_) bytes += layer.bytes_of_head();
  const int64_t threads = at::get_num_threads();
  return std::clamp<int64_t>(kCacheBytes / bytes, 1, std::max<int64_t>(1, (heads() + threads - 1) / threads));
}

void PackedHeads::for_heads(const std::function<void(int64_t first, int64_t count)>& part) const {
  // A block more, of nothing: with one alone LibTorch would spread each product over all threads, and sum it otherwise.
  const int64_t each = block(), blocks = tensor::count_blocks(heads(), each);
  tensor::for_blocks((blocks + 1) * each, each, [&](const tensor::Block& some) {
    if (some.first < heads()) part(some.first, std::min(each, heads() - some.first));
  });
}

std::vector<std::vector<at::Tensor>> PackedHeads::draw_masks(const Step& step, int64_t padded) const {
  if (shape_.dropouts.front().empty()) return {};
  std::vector<std::vector<at::Tensor>> masks;
  for (size_t t = 0; t < shape_.dropouts.size(); ++t) {
    // Heads of the same probabilities drop the same.
    const auto known = std::find(shape_.dropouts.begin(), shape_.dropouts.begin() + static_cast<std::ptrdiff_t>(t),
                                 shape_.dropouts[t]) -
                       shape_.dropouts.begin();
    if (static_cast<size_t>(known) < t) {
      masks.push_back(masks[static_cast<size_t>(known)]);
      continue;
    }
    masks.emplace_back();
    step.reseed();
    const int64_t rows = step.batch.inputs.size(0);
    size_t next = 0;
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
      for (const HeadOp op : shape_.ops[layer]) {
        if (op != HeadOp::kDropout) continue;
        const at::Tensor ones = at::ones({rows, layers_[layer].out()}, step.batch.inputs.options());
        const at::Tensor drawn = at::dropout(ones, shape_.dropouts[t][next++], /*train=*/true);
        at::Tensor mask = at::zeros({layers_[layer].out(), padded}, ones.options());
        mask.narrow(1, 0, rows).copy_(drawn.t());
        masks.back().push_back(mask);
      }
    }
  }
  return masks;
}

size_t PackedHeads::steps_at_once(const Step& step) const {
  int64_t widths = 0;  // that dropouts take
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    widths += layers_[layer].out() * std::count(shape_.ops[layer].begin(), shape_.ops[layer].end(), HeadOp::kDropout);
  }
  const std::set<std::vector<double>> drawn(shape_.dropouts.begin(), shape_.dropouts.end());
  const int64_t bytes = widths * step.batch.inputs.size(0) * static_cast<int64_t>(drawn.size() * sizeof(float));
  return static_cast<size_t>(std::max<int64_t>(1, kMaskBytes / std::max<int64_t>(1, bytes)));
}

void PackedHeads::learn(const std::vector<Step>& steps, HeadSums& sums) {
  const c10::NoGradGuard no_grad;
  sums.losses.resize(static_cast<size_t>(heads()));
  sums.right.resize(static_cast<size_t>(heads()));
  for (size_t begin = 0; begin < steps.size();) {
    const size_t end = std::min(steps.size(), begin + steps_at_once(steps[begin]));
    learn_some({steps.begin() + static_cast<std::ptrdiff_t>(begin), steps.begin() + static_cast<std::ptrdiff_t>(end)},
               sums);
    begin = end;
  }
}

void PackedHeads::learn_some(const std::vector<Step>& steps, HeadSums& sums) {
  std::vector<Batch> batches;
  for (const Step& step : steps) {
    if (step.batch.inputs.dim() != 2 || step.batch.inputs.size(1) != layers_.front().in())
      throw std::invalid_argument(text::cat("heads: expected rows [B, ", layers_.front().in(), "], found ",
                                            text::shape(step.batch.inputs.sizes().vec())));
    batches.emplace_back(step.batch.inputs.size(0),
                         WeighedLabels(step.batch.labels, layers_.back().out(), loss_.class_weights),
                         packed_step(step.rates, ++updates_));
  }
  tensor::for_blocks(static_cast<int64_t>(steps.size()), /*longest=*/1, [&](const tensor::Block& one) {
    const auto place = static_cast<size_t>(one.first);
    batches[place].rows = layers_.front().pack(steps[place].batch.inputs);
  });
  for (size_t s = 0; s < steps.size(); ++s) batches[s].masks = draw_masks(steps[s], batches[s].rows.view.rows);
  for_heads([&](int64_t first, int64_t count) { learn_block(batches, first, count, sums); });
}

void PackedHeads::learn_block(const std::vector<Batch>& batches, int64_t first, int64_t count, HeadSums& sums) {
  const int64_t classes = layers_.back().out();
  std::vector<float> scratch;
  for (const Batch& batch : batches) {
    throw_if_stopped("training");
    const int64_t padded = batch.rows.view.rows;
    scratch.resize(static_cast<size_t>(2 * padded));
    Pass pass;
    const at::Tensor logits = forward(batch, first, count, &pass);  // [count, K, padded]
    at::Tensor gradient = shape_.ops.back().empty() ? logits : logits.clone();
    for (int64_t t = 0; t < count; ++t) {
      const auto head = static_cast<size_t>(first + t);
      const SoftmaxOutcome outcome = softmax_gradient(gradient.data_ptr<float>() + t * classes * padded, classes,
                                                      padded, batch.labels, loss_.label_smoothing, scratch.data());
      // As LibTorch's float32 has it: one that it has not is the end of the head.
      const auto rows = static_cast<double>(batch.count);
      sums.losses[head] += static_cast<double>(static_cast<float>(outcome.loss / rows)) * rows;
      sums.right[head] += outcome.right;
    }
    backward(batch, first, count, gradient, pass);
  }
}

at::Tensor PackedHeads::forward(const Batch& batch, int64_t first, int64_t count, Pass* pass) const {
  const int64_t padded = batch.rows.view.rows;
  at::Tensor x = at::empty({count, layers_.front().out(), padded}, at::kFloat);
  layers_.front().outputs(batch.rows, first, count, x.data_ptr<float>());
  if (pass != nullptr) pass->layers.resize(layers_.size());
  x = applied(batch, 0, first, x, pass);
  for (size_t layer = 1; layer < layers_.size(); ++layer) {
    const at::Tensor next = at::empty({count, layers_[layer].out(), padded}, at::kFloat);
    for (int64_t t = 0; t < count; ++t) {
      const float* columns = x.const_data_ptr<float>() + t * x.stride(0);
      PackedRows inputs = layers_[layer].pack_columns(columns, batch.count, padded);
      layers_[layer].outputs(inputs, first + t, 1, next.data_ptr<float>() + t * next.stride(0));
      if (pass != nullptr) pass->layers[layer].inputs.push_back(std::move(inputs));
    }
    x = applied(batch, layer, first, next, pass);
  }
  return x;
}

at::Tensor PackedHeads::applied(const Batch& batch, size_t layer, int64_t first, at::Tensor x, Pass* pass) const {
  size_t dropout = 0;
  for (size_t before = 0; before < layer; ++before)
    dropout += static_cast<size_t>(std::count(shape_.ops[before].begin(), shape_.ops[before].end(), HeadOp::kDropout));
  for (const HeadOp op : shape_.ops[layer]) {
    if (pass != nullptr) pass->layers[layer].values.push_back(x);
    const bool drops = op == HeadOp::kDropout;
    if (!drops || !batch.masks.empty()) {
      const at::Tensor from = x;
      x = at::empty_like(from);
      // Head by head: where a vector's lanes end, LibTorch rounds otherwise.
      for (int64_t t = 0; t < x.size(0); ++t) {
        const at::Tensor own = from.select(0, t);
        x.select(0, t).copy_(drops ? own * batch.masks[static_cast<size_t>(first + t)][dropout] : activated(own, op));
      }
    }
    dropout += drops ? 1 : 0;
  }
  if (pass != nullptr && !shape_.ops[layer].empty()) pass->layers[layer].values.push_back(x);
  return x;
}

at::Tensor PackedHeads::through_ops(const Batch& batch, size_t layer, int64_t first, at::Tensor gradient,
                                    const Pass& pass) const {
  const std::vector<HeadOp>& ops = shape_.ops[layer];
  size_t dropout = 0;  // behind the layer's last
  for (size_t i = 0; i <= layer; ++i)
    dropout += static_cast<size_t>(std::count(shape_.ops[i].begin(), shape_.ops[i].end(), HeadOp::kDropout));
  for (size_t i = ops.size(); i > 0; --i) {
    const std::vector<at::Tensor>& values = pass.layers[layer].values;
    const bool drops = ops[i - 1] == HeadOp::kDropout;
    dropout -= drops ? 1 : 0;
    for (int64_t t = 0; t < gradient.size(0); ++t) {
      at::Tensor own = gradient.select(0, t);
      if (drops) {
        own.mul_(batch.masks[static_cast<size_t>(first + t)][dropout]);
      } else {
        own.copy_(activation_gradient(own, values[i - 1].select(0, t), values[i].select(0, t), ops[i - 1]));
      }
    }
  }
  return gradient;
}

void PackedHeads::backward(const Batch& batch, int64_t first, int64_t count, at::Tensor gradient, const Pass& pass) {
  for (size_t layer = layers_.size(); layer > 0; --layer) {
    PackedLayer& own = layers_[layer - 1];
    gradient = through_ops(batch, layer - 1, first, gradient, pass);  // [count, out, padded]
    if (layer == 1) {
      own.update(batch.rows, batch.step, first, count, gradient.const_data_ptr<float>());
      return;
    }
    const at::Tensor below = at::empty({count, own.in(), gradient.size(2)}, gradient.options());
    for (int64_t t = 0; t < count; ++t) {
      const at::Tensor of_outputs = gradient.select(0, t);
      at::Tensor of_inputs = below.select(0, t);
      at::mm_out(of_inputs, own.weight(first + t).t(), of_outputs);
      own.update(pass.layers[layer - 1].inputs[static_cast<size_t>(t)], batch.step, first + t, 1,
                 of_outputs.const_data_ptr<float>());
    }
    gradient = below;
  }
}

at::Tensor PackedHeads::infer(const at::Tensor& rows) const {
  const c10::NoGradGuard no_grad;
  constexpr int64_t kRows = 64;  // whose columns stay in a core's cache
  const int64_t total = rows.size(0), classes = layers_.back().out();
  at::Tensor out = at::empty({heads(), total, classes}, at::kFloat);
  std::vector<Batch> batches;
  for (int64_t part = 0; part < tensor::count_blocks(total, kRows); ++part) {
    batches.emplace_back(std::min(kRows, total - part * kRows), WeighedLabels(at::empty({0}, at::kLong), 0, {}),
                         PackedStep{});
  }
  tensor::for_blocks(total, kRows, [&](const tensor::Block& part) {
    batches[static_cast<size_t>(part.index)].rows = layers_.front().pack(rows.narrow(0, part.first, part.count));
  });
  for_heads([&](int64_t first, int64_t heads_here) {
    int64_t begin = 0;
    for (const Batch& batch : batches) {
      const at::Tensor logits = forward(batch, first, heads_here, /*pass=*/nullptr);  // [heads, K, padded]
      out.narrow(0, first, heads_here)
          .narrow(1, begin, batch.count)
          .copy_(logits.narrow(2, 0, batch.count).transpose(1, 2));
      begin += batch.count;
    }
  });
  return out;
}

std::vector<at::Tensor> PackedHeads::parameters(int64_t t) const {
  std::vector<at::Tensor> out;
  for (const PackedLayer& layer : layers_) {
    out.push_back(layer.weight(t).clone(at::MemoryFormat::Contiguous));
    out.push_back(layer.bias(t).clone(at::MemoryFormat::Contiguous));
  }
  return out;
}

void PackedHeads::keep(const std::vector<int64_t>& heads) {
  const c10::NoGradGuard no_grad;
  const at::Tensor places = at::tensor(heads, at::kLong);
  std::vector<std::vector<double>> dropouts;
  for (const int64_t head : heads) dropouts.push_back(shape_.dropouts[static_cast<size_t>(head)]);
  shape_.dropouts = std::move(dropouts);
  for (PackedLayer& layer : layers_) layer.keep(places);
}

}  // namespace engraft::train
