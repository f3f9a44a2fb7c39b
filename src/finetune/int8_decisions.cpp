#include "finetune/int8_decisions.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/text.h"

namespace engraft::finetune {

namespace {

/// [N, …]: equal rows are equal decisions.
at::Tensor decisions_of(const at::Tensor& outputs, Target target) {
  if (target == Target::kSoftmax) return outputs.argmax(1, /*keepdim=*/true);
  return outputs.gt(0).to(at::kLong);
}

int64_t right_of(const at::Tensor& decisions, const std::vector<int64_t>& labels) {
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i)
    right += labels[i] >= 0 && decisions[static_cast<int64_t>(i)][0].item<int64_t>() == labels[i];
  return right;
}

int64_t allowed(double share, int64_t pictures) {
  return std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(pictures)));
}

}  // namespace

Int8Verdict::Decisions decide_both(const at::Tensor& f32, const at::Tensor& int8, const std::vector<int64_t>& labels,
                                   Target target, const TargetScale& scale) {
  Int8Verdict::Decisions found;
  found.pictures = f32.size(0);
  if (target == Target::kRegression) {
    found.differing = (f32 - int8).abs().gt(kSameNumber * scale.std).any(1).sum().item<int64_t>();
    return found;
  }
  const at::Tensor a = decisions_of(f32, target), b = decisions_of(int8, target);
  found.differing = a.ne(b).any(1).sum().item<int64_t>();
  if (target == Target::kMultiLabel) return found;
  found.labelled = std::count_if(labels.begin(), labels.end(), [](int64_t label) { return label >= 0; });
  found.f32_right = right_of(a, labels);
  found.int8_right = right_of(b, labels);
  return found;
}

std::string objection(const Int8Verdict::Decisions& d) {
  const int64_t other = allowed(kMostOtherDecisions, d.pictures), fewer = allowed(kMostFewerRight, d.labelled);
  if (d.differing <= other && (d.labelled == 0 || d.f32_right - d.int8_right <= fewer)) return "";
  return text::cat(decisions_text(d), "; at most ", other, " may differ",
                   d.labelled == 0 ? "" : text::cat(", and ", fewer, " fewer be right"));
}

std::string decisions_text(const Int8Verdict::Decisions& d) {
  const std::string right =
      d.labelled == 0 ? "" : text::cat("; right are ", d.int8_right, " of ", d.labelled, ", in f32 ", d.f32_right);
  return text::cat("it decides ", d.differing, " of ", d.pictures, " otherwise than f32", right);
}

}  // namespace engraft::finetune
