#include "base/target.h"

namespace engraft {

std::optional<Target> target_from_text(std::string_view name) {
  for (const Target target : {Target::kSoftmax, Target::kSigmoid, Target::kMultiLabel, Target::kRegression}) {
    if (name == to_text(target)) return target;
  }
  return std::nullopt;
}

std::string to_text(Target target) {
  switch (target) {
    case Target::kSoftmax:
      return "softmax";
    case Target::kSigmoid:
      return "sigmoid";
    case Target::kMultiLabel:
      return "multilabel";
    case Target::kRegression:
      return "regression";
  }
  return "";
}

int64_t outputs_of(Target target, int64_t classes) {
  return target == Target::kSigmoid || target == Target::kRegression ? 1 : classes;
}

}  // namespace engraft
