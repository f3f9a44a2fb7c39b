#include "train/linear_heads.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "tensor/blocks.h"
#include "train/head_kernels.h"
#include "train/optimizer_rules.h"

namespace engraft::train {

namespace {

constexpr int64_t kCacheBytes = 512 << 10;  // of weights and slots that a core keeps, beside a batch

std::optional<HeadRule> rule_of(const OptimizerSpec& spec) {
  if (spec.name == "sgd") return spec.momentum.value_or(kSgdMomentum) > 0 ? HeadRule::kMomentum : HeadRule::kSgd;
  if (spec.name == "adamw") return HeadRule::kAdamw;
  if (spec.name == "rmsprop") return HeadRule::kRmsprop;
  if (spec.name == "rmsprop_keras") return HeadRule::kKerasRmsprop;
  return std::nullopt;
}

int64_t rounded_up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

/// The classes of a batch, and what its rows weigh.
struct Labels {
  const int64_t* values;
  int64_t rows;
  std::vector<float> weights;  // [K]; empty: 1 for all
  double total = 0;            // of the rows' weights

  Labels(const at::Tensor& labels, const std::vector<double>& class_weights)
      : values(labels.const_data_ptr<int64_t>()),
        rows(labels.size(0)),
        weights(class_weights.begin(), class_weights.end()) {
    for (int64_t b = 0; b < rows; ++b) total += weight(b);
    total = std::max(total, static_cast<double>(std::numeric_limits<float>::min()));  // of rows without weight: loss 0
  }
  float weight(int64_t row) const { return weights.empty() ? 1 : weights[static_cast<size_t>(values[row])]; }
};

/// Makes of one head's logits [K, padded] the gradient of its loss, as losses_of() defines it; zeros for rows that only
/// fill up. Adds loss times rows, and what is right. `scratch` [2, padded].
void softmax_gradient(float* logits, int64_t classes, int64_t padded, const Labels& labels, double smoothing,
                      float* scratch, double& loss, int64_t& right) {
  float *highest = scratch, *sums = scratch + padded;
  std::copy_n(logits, padded, highest);
  for (int64_t c = 1; c < classes; ++c) {
    const float* z = logits + c * padded;
    for (int64_t b = 0; b < padded; ++b) highest[b] = highest[b] < z[b] ? z[b] : highest[b];
  }
  double total = 0;
  const double spread = smoothing / static_cast<double>(classes);
  std::fill_n(sums, padded, 0.0F);
  for (int64_t b = 0; b < labels.rows; ++b) {
    const float own = logits[labels.values[b] * padded + b];
    int64_t first = 0;  // of the highest: the class that is told
    while (first + 1 < classes && logits[first * padded + b] != highest[b]) ++first;
    right += first == labels.values[b];
    total += (1 - smoothing) * labels.weight(b) * (highest[b] - own);
    if (smoothing == 0) continue;
    for (int64_t c = 0; c < classes; ++c) {
      const double weight = labels.weights.empty() ? 1 : labels.weights[static_cast<size_t>(c)];
      total += spread * weight * (highest[b] - logits[c * padded + b]);
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    float* z = logits + c * padded;
    for (int64_t b = 0; b < labels.rows; ++b) {
      z[b] = std::exp(z[b] - highest[b]);
      sums[b] += z[b];
    }
  }
  double weights = static_cast<double>(classes);  // of all classes
  if (!labels.weights.empty()) {
    weights = 0;
    for (const float weight : labels.weights) weights += weight;
  }
  // Of row b: (1 - s) · w(label) · (p - [c = label]) + s / K · (p · Σ w - w(c)), over the weights of all rows.
  for (int64_t b = 0; b < labels.rows; ++b) {
    const double share = (1 - smoothing) * labels.weight(b) + spread * weights;
    total += share * std::log(sums[b]);
    highest[b] = static_cast<float>(share / labels.total / sums[b]);
  }
  for (int64_t c = 0; c < classes; ++c) {
    const double weight = labels.weights.empty() ? 1 : labels.weights[static_cast<size_t>(c)];
    const auto less = static_cast<float>(spread * weight / labels.total);
    float* z = logits + c * padded;
    for (int64_t b = 0; b < labels.rows; ++b) z[b] = z[b] * highest[b] - less;
    std::fill(z + labels.rows, z + padded, 0.0F);
  }
  for (int64_t b = 0; b < labels.rows; ++b) {
    logits[labels.values[b] * padded + b] -= static_cast<float>((1 - smoothing) * labels.weight(b) / labels.total);
  }
  loss += total / labels.total * static_cast<double>(labels.rows);
}

}  // namespace

/// A batch in the order in which the kernels read it.
struct LinearHeads::Packed {
  at::Tensor panels;
  HeadRows rows;
};

/// What all heads of a step share, and their rates.
struct LinearHeads::Moment {
  Labels labels;
  HeadUpdate update;
  std::vector<float> rates;
};

bool LinearHeads::can_learn(const LossOptions& loss, const OptimizerSpec& rule) {
  return !head_kernels().empty() && loss.target == Target::kSoftmax && loss.teacher.weight == 0 &&
         rule_of(rule).has_value();
}

LinearHeads::LinearHeads(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& biases,
                         const LossOptions& loss, const std::vector<OptimizerSpec>& rules, const HeadKernels* kernels)
    : kernels_(kernels != nullptr ? kernels : head_kernels().front()),
      loss_(loss),
      rule_(rules.front()),
      outputs_(weights.front().size(0)),
      columns_(weights.front().size(1)),
      panel_(kernels_->panel) {
  const c10::NoGradGuard no_grad;
  const auto given = static_cast<int64_t>(loss.class_weights.size());
  if (given != 0 && given != outputs_)
    throw UsageError(text::cat("class weights: expected ", outputs_, ", one for each class, found ", given));
  const double momentum = rule_.momentum.value_or(rule_.name == "sgd" ? kSgdMomentum : 0);
  if (rule_.nesterov && momentum == 0) throw UsageError("nesterov: needs a momentum above 0");
  rule_.momentum = momentum;
  for (const OptimizerSpec& rule : rules) decays_.push_back(static_cast<float>(rule.weight_decay));
  const int64_t stride = rounded_up(columns_ + 1, panel_);
  panels_ = stride / panel_;
  ones_.assign(static_cast<size_t>(panel_), 1);
  decayed_ = ones_;
  decayed_[static_cast<size_t>(columns_ % panel_)] = 0;
  weights_ = at::zeros({heads(), outputs_, stride}, at::kFloat);
  for (int64_t t = 0; t < heads(); ++t) {
    weights_[t].narrow(1, 0, columns_).copy_(weights[static_cast<size_t>(t)]);
    weights_[t].select(1, columns_).copy_(biases[static_cast<size_t>(t)]);
  }
  if (rule_of(rule_) != HeadRule::kSgd) first_ = at::zeros_like(weights_);
  const bool is_rmsprop = rule_.name == "rmsprop" || rule_.name == "rmsprop_keras";
  if (rule_.name == "adamw" || (is_rmsprop && momentum > 0)) second_ = at::zeros_like(weights_);
}

LinearHeads::Packed LinearHeads::pack(const at::Tensor& rows) const {
  const at::Tensor given = rows.contiguous();
  const int64_t count = given.size(0), padded = rounded_up(count, kernels_->rows);
  Packed out;
  out.panels = at::empty({panels_, padded, panel_}, at::kFloat);
  float* to = out.panels.data_ptr<float>();
  const float* from = given.const_data_ptr<float>();
  for (int64_t p = 0; p < panels_; ++p) {
    const int64_t first = p * panel_, here = std::min(panel_, columns_ - first);  // 0 for a panel of the bias alone
    for (int64_t b = 0; b < padded; ++b, to += panel_) {
      const int64_t copied = b < count ? std::max<int64_t>(here, 0) : 0;
      std::copy_n(from + b * columns_ + first, copied, to);
      std::fill(to + copied, to + panel_, 0.0F);
      if (b < count && p + 1 == panels_) to[columns_ - first] = 1;  // what the bias is multiplied by
    }
  }
  out.rows = {out.panels.const_data_ptr<float>(), padded};
  return out;
}

int64_t LinearHeads::block() const {
  const int64_t tensors = 1 + first_.defined() + second_.defined();
  const int64_t bytes = tensors * outputs_ * panels_ * panel_ * static_cast<int64_t>(sizeof(float));
  const int64_t threads = at::get_num_threads();
  return std::clamp<int64_t>(kCacheBytes / bytes, 1, std::max<int64_t>(1, (heads() + threads - 1) / threads));
}

void LinearHeads::learn(const std::vector<Step>& steps, HeadSums& sums) {
  const c10::NoGradGuard no_grad;
  sums.losses.resize(static_cast<size_t>(heads()));
  sums.right.resize(static_cast<size_t>(heads()));
  std::vector<Packed> packed(steps.size());
  tensor::for_blocks(static_cast<int64_t>(steps.size()), /*longest=*/1, [&](const tensor::Block& one) {
    const auto place = static_cast<size_t>(one.first);
    packed[place] = pack(steps[place].batch.inputs);
  });
  std::vector<Moment> moments;
  for (const Step& step : steps) {
    ++updates_;
    HeadUpdate update;
    update.rule = *rule_of(rule_);
    update.nesterov = rule_.nesterov;
    update.momentum = static_cast<float>(*rule_.momentum);
    update.correction = static_cast<float>(1 / (1 - std::pow(kAdamBeta1, static_cast<double>(updates_))));
    update.root_correction = static_cast<float>(1 / std::sqrt(1 - std::pow(kAdamBeta2, static_cast<double>(updates_))));
    update.ones = ones_.data();
    update.decayed = decayed_.data();
    moments.push_back({Labels(step.batch.labels, loss_.class_weights), update, {}});
    for (const double rate : step.rates) {
      moments.back().rates.insert(moments.back().rates.end(), static_cast<size_t>(outputs_), static_cast<float>(rate));
    }
  }
  tensor::for_blocks(heads(), block(), [&](const tensor::Block& some) {
    learn_block(steps, packed, moments, some.first, some.count, sums);
  });
}

void LinearHeads::learn_block(const std::vector<Step>& steps, const std::vector<Packed>& packed,
                              const std::vector<Moment>& moments, int64_t first, int64_t count, HeadSums& sums) {
  const int64_t outputs = count * outputs_, from = first * outputs_, place = from * panels_ * panel_;
  std::vector<float> logits, scratch, decays;
  for (int64_t t = first; t < first + count; ++t)
    decays.insert(decays.end(), static_cast<size_t>(outputs_), decays_[static_cast<size_t>(t)]);
  for (size_t s = 0; s < steps.size(); ++s) {
    const HeadRows& rows = packed[s].rows;
    logits.resize(static_cast<size_t>(outputs * rows.rows));
    scratch.resize(static_cast<size_t>(2 * rows.rows));
    HeadUpdate update = moments[s].update;
    update.weights = weights_.data_ptr<float>() + place;
    if (first_.defined()) update.first = first_.data_ptr<float>() + place;
    if (second_.defined()) update.second = second_.data_ptr<float>() + place;
    kernels_->logits(rows, panels_, update.weights, outputs, logits.data());
    for (int64_t t = 0; t < count; ++t) {
      const auto head = static_cast<size_t>(first + t);
      softmax_gradient(logits.data() + t * outputs_ * rows.rows, outputs_, rows.rows, moments[s].labels,
                       loss_.label_smoothing, scratch.data(), sums.losses[head], sums.right[head]);
    }
    update.gradients = logits.data();
    update.outputs = outputs;
    update.rates = moments[s].rates.data() + from;
    update.decays = decays.data();
    kernels_->update(rows, panels_, update);
  }
}

at::Tensor LinearHeads::infer(const at::Tensor& rows) const {
  const c10::NoGradGuard no_grad;
  constexpr int64_t kRows = 64;  // whose columns stay in a core's cache
  const int64_t total = rows.size(0), parts = tensor::count_blocks(total, kRows);
  at::Tensor out = at::empty({heads(), total, outputs_}, at::kFloat);
  std::vector<Packed> packed(static_cast<size_t>(parts));
  tensor::for_blocks(total, kRows, [&](const tensor::Block& part) {
    packed[static_cast<size_t>(part.index)] = pack(rows.narrow(0, part.first, part.count));
  });
  tensor::for_blocks(heads(), block(), [&](const tensor::Block& some) {
    std::vector<float> logits;
    for (int64_t part = 0; part < parts; ++part) {
      const HeadRows& x = packed[static_cast<size_t>(part)].rows;
      const int64_t begin = part * kRows, end = std::min(total, begin + kRows), all = some.count * outputs_;
      logits.resize(static_cast<size_t>(all * x.rows));
      kernels_->logits(x, panels_, weights_[some.first].const_data_ptr<float>(), all, logits.data());
      for (int64_t r = 0; r < all; ++r) {
        float* to = out.data_ptr<float>() + (some.first + r / outputs_) * total * outputs_ + r % outputs_;
        for (int64_t b = begin; b < end; ++b) to[b * outputs_] = logits[static_cast<size_t>(r * x.rows + b - begin)];
      }
    }
  });
  return out;
}

at::Tensor LinearHeads::weight(int64_t t) const { return weights_[t].narrow(1, 0, columns_).clone(); }

at::Tensor LinearHeads::bias(int64_t t) const { return weights_[t].select(1, columns_).clone(); }

void LinearHeads::keep(const std::vector<int64_t>& heads) {
  const c10::NoGradGuard no_grad;
  const at::Tensor places = at::tensor(heads, at::kLong);
  std::vector<float> decays;
  for (const int64_t head : heads) decays.push_back(decays_[static_cast<size_t>(head)]);
  decays_ = std::move(decays);
  for (at::Tensor* each : {&weights_, &first_, &second_}) {
    if (each->defined()) *each = each->index_select(0, places);
  }
}

}  // namespace engraft::train
