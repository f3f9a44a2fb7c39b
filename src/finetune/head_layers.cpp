#include "finetune/head_layers.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "base/text.h"

namespace engraft::finetune {

namespace {

using Kind = model::HeadLayer::Kind;

}  // namespace

train::HeadOp op_of(Kind kind) {
  switch (kind) {
    case Kind::kRelu:
      return train::HeadOp::kRelu;
    case Kind::kGelu:
      return train::HeadOp::kGelu;
    case Kind::kSilu:
      return train::HeadOp::kSilu;
    case Kind::kTanh:
      return train::HeadOp::kTanh;
    case Kind::kDropout:
    case Kind::kLinear:
      break;
  }
  return train::HeadOp::kDropout;
}

StackedLayers::StackedLayers(const std::vector<model::Head>& heads,
                             const std::vector<std::vector<model::HeadLayer>>& layers)
    : heads_(static_cast<int64_t>(heads.size())), layers_(layers.front()) {
  const c10::NoGradGuard no_grad;
  for (const auto& of_head : layers) {
    probabilities_.emplace_back();
    for (const model::HeadLayer& layer : of_head) {
      if (layer.kind == Kind::kDropout) probabilities_.back().push_back(layer.probability);
    }
  }
  for (size_t p = 0; p < heads.front().parameters().size(); p += 2) {
    std::vector<at::Tensor> weights, biases;
    for (const model::Head& head : heads) {
      weights.push_back(head.parameters()[p].value.detach());
      biases.push_back(head.parameters()[p + 1].value.detach());
    }
    linear_.push_back({at::stack(weights), at::stack(biases), {}, {}});
  }
  make_gradients();
}

void StackedLayers::make_gradients() {
  for (Linear& layer : linear_) {
    layer.weight_gradient = at::zeros_like(layer.weight);
    layer.bias_gradient = at::zeros_like(layer.bias);
  }
}

std::vector<tensor::NamedTensor> StackedLayers::parameters(int64_t t) const {
  std::vector<tensor::NamedTensor> out;
  for (size_t i = 0; i < linear_.size(); ++i) {
    const auto add = [&](const char* name, const at::Tensor& value, const at::Tensor& gradient) {
      at::Tensor own = value.select(0, t);
      own.mutable_grad() = gradient.select(0, t);
      out.push_back({text::cat("fc", i + 1, ".", name), own});
    };
    add("weight", linear_[i].weight, linear_[i].weight_gradient);
    add("bias", linear_[i].bias, linear_[i].bias_gradient);
  }
  return out;
}

StackedLayers StackedLayers::selected(const std::vector<int64_t>& heads) const {
  const c10::NoGradGuard no_grad;
  StackedLayers out;
  out.heads_ = static_cast<int64_t>(heads.size());
  out.layers_ = layers_;
  const at::Tensor places = at::tensor(heads, at::kLong).to(linear_.front().weight.device());
  for (const int64_t head : heads) out.probabilities_.push_back(probabilities_[static_cast<size_t>(head)]);
  for (const Linear& layer : linear_) {
    out.linear_.push_back({layer.weight.index_select(0, places), layer.bias.index_select(0, places), {}, {}});
  }
  out.make_gradients();
  return out;
}

at::Tensor StackedLayers::first_product(const at::Tensor& rows) const {
  const at::Tensor& weight = linear_.front().weight;                                          // [T, out, D]
  return rows.matmul(weight.flatten(0, 1).t()).view({rows.size(0), heads_, weight.size(1)});  // [B, T, out]
}

std::vector<at::Tensor> StackedLayers::draw_masks(const at::Tensor& rows, const std::function<void()>& reseed) const {
  if (probabilities_.front().empty()) return {};
  std::vector<int64_t> widths;  // of what each dropout takes
  for (const model::HeadLayer& layer : layers_) {
    if (layer.kind == Kind::kLinear) widths.push_back(layer.width);
    if (layer.kind == Kind::kDropout) widths.push_back(widths.back());
  }
  std::vector<std::vector<double>> drawn;  // heads of the same probabilities drop the same
  std::vector<std::vector<at::Tensor>> masks(probabilities_.front().size());
  std::vector<int64_t> of_head;
  for (const std::vector<double>& own : probabilities_) {
    const auto known = std::find(drawn.begin(), drawn.end(), own);
    of_head.push_back(known - drawn.begin());
    if (known != drawn.end()) continue;
    drawn.push_back(own);
    reseed();
    size_t next = 0, width_at = 0;
    for (const model::HeadLayer& layer : layers_) {
      if (layer.kind == Kind::kDropout) {
        const at::Tensor ones = at::ones({rows.size(0), widths[width_at]}, rows.options());
        masks[next].push_back(at::dropout(ones, own[next], /*train=*/true));
        ++next;
      }
      if (layer.kind == Kind::kLinear || layer.kind == Kind::kDropout) ++width_at;
    }
  }
  const at::Tensor places = at::tensor(of_head, at::kLong).to(rows.device());
  std::vector<at::Tensor> out;
  for (const std::vector<at::Tensor>& own : masks)
    out.push_back(at::stack(own, 1).index_select(1, places));  // [B, T, H]
  return out;
}

at::Tensor StackedLayers::after_first(at::Tensor first, const std::vector<at::Tensor>& masks) const {
  at::Tensor x = std::move(first);  // [B, T, H]
  size_t next = 0, next_dropout = 0;
  for (const model::HeadLayer& layer : layers_) {
    if (layer.kind == Kind::kLinear) {
      const Linear& own = linear_[next];
      // The first product was made before.
      if (next > 0) x = x.transpose(0, 1).bmm(own.weight.transpose(1, 2)).transpose(0, 1);  // [B, T, out]
      x = x + own.bias;
      ++next;
    } else if (layer.kind == Kind::kDropout) {
      if (!masks.empty()) x = x * masks[next_dropout];
      ++next_dropout;
    } else {
      x = train::activated(x, op_of(layer.kind));
    }
  }
  return x;
}

at::Tensor StackedLayers::infer(const at::Tensor& rows) const {
  const c10::NoGradGuard no_grad;
  return after_first(first_product(rows), /*masks=*/{});
}

at::Tensor StackedLayers::forward(const at::Tensor& rows, const std::function<void()>& reseed) {
  std::vector<at::Tensor> masks;
  {
    const c10::NoGradGuard no_grad;
    masks = draw_masks(rows, reseed);
    first_ = first_product(rows);
  }
  first_.set_requires_grad(true);
  for (size_t i = 0; i < linear_.size(); ++i) {
    linear_[i].bias.set_requires_grad(true);
    if (i > 0) linear_[i].weight.set_requires_grad(true);
  }
  const c10::AutoGradMode with_gradients(true);
  return after_first(first_, masks);
}

void StackedLayers::gradient(const at::Tensor& rows, const at::Tensor& losses) {
  for (size_t i = 0; i < linear_.size(); ++i) {
    Linear& layer = linear_[i];
    layer.bias_gradient.zero_();
    layer.bias.mutable_grad() = layer.bias_gradient;
    if (i == 0) continue;
    layer.weight_gradient.zero_();
    layer.weight.mutable_grad() = layer.weight_gradient;
  }
  losses.sum().backward();
  const c10::NoGradGuard no_grad;
  for (Linear& layer : linear_) {
    layer.bias.set_requires_grad(false);
    layer.weight.set_requires_grad(false);
  }
  const at::Tensor of_first = first_.grad().flatten(1);  // [B, T · out]
  at::Tensor into = linear_.front().weight_gradient.flatten(0, 1);
  at::mm_out(into, of_first.t(), rows);
  first_ = at::Tensor();
}

}  // namespace engraft::finetune
