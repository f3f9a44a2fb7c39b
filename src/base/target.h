#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace engraft {

/// What a model says of a picture, and with it what its outputs are and by which loss it learns them.
enum class Target {
  /// Which of K classes it is: K logits, softmax cross-entropy.
  kSoftmax,
  /// Which of two classes it is: the logit of the second, binary cross-entropy.
  kSigmoid,
  /// Which of K classes hold, any number of them: K logits, binary cross-entropy of each.
  kMultiLabel,
  /// A number: one output, squared error of the standardised number.
  kRegression,
};

/// "softmax", "sigmoid", "multilabel" or "regression"; nothing for another word.
std::optional<Target> target_from_text(std::string_view name);
std::string to_text(Target target);

/// Outputs of a network for `classes` classes.
int64_t outputs_of(Target target, int64_t classes);

/// From this score on a class holds (kMultiLabel).
inline constexpr double kHoldsFrom = 0.5;

/// Between the names of the classes that hold, in manifests and tables (kMultiLabel).
inline constexpr char kLabelSeparator = ';';

/// How the numbers of kRegression are standardised for training: (number - mean) / std.
struct TargetScale {
  double mean = 0;
  double std = 1;
};

}  // namespace engraft
