#include "train/ridge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/text.h"

namespace engraft::train {

namespace {

/// +1 in the column of the class, else -1, [N, K].
at::Tensor targets_of(const std::vector<int64_t>& labels) {
  const int64_t classes = 1 + *std::max_element(labels.begin(), labels.end());
  at::Tensor targets = at::full({static_cast<int64_t>(labels.size()), classes}, -1.0, at::kDouble);
  return targets.scatter_(1, at::tensor(labels).unsqueeze(1), 1.0);
}

/// A decomposed Gram matrix of centred rows, and the centred targets in its directions.
struct Decomposed {
  at::Tensor values;      // [N], at least 0
  at::Tensor directions;  // [N, N], a column each
  at::Tensor targets;     // [N, K]
};

/// What predicts by `penalty`: dual weights [N, K].
at::Tensor weights_of(const Decomposed& gram, double penalty) {
  return gram.directions.matmul(gram.targets / (gram.values + penalty).unsqueeze(1));
}

/// The mean square of what each row's own prediction would be off by, had it been left out: a linear smoother with an
/// intercept has the residual r / (1 - h), h = diag(Q v / (v + penalty) Q') + 1 / N.
double left_out_error(const Decomposed& gram, double penalty) {
  const at::Tensor kept = gram.values / (gram.values + penalty);
  const at::Tensor own = (gram.directions.square() * kept).sum(1) + 1.0 / gram.values.size(0);  // [N]
  const at::Tensor residual = gram.directions.matmul(gram.targets * (1 - kept).unsqueeze(1));
  return (residual / (1 - own).clamp_min(1e-12).unsqueeze(1)).square().mean().item<double>();
}

double best_penalty(const Decomposed& gram) {
  const double scale = std::max(gram.values.mean().item<double>(), 1e-300);
  double best = scale, least = std::numeric_limits<double>::infinity();
  for (int power = -6; power <= 4; ++power) {
    const double penalty = scale * std::pow(10.0, power), error = left_out_error(gram, penalty);
    if (error < least) {
      least = error;
      best = penalty;
    }
  }
  return best;
}

}  // namespace

std::vector<int64_t> ridge_classes(const at::Tensor& rows, const std::vector<int64_t>& labels,
                                   const at::Tensor& others) {
  if (rows.dim() != 2 || rows.size(0) == 0 || rows.size(0) != static_cast<int64_t>(labels.size()))
    throw std::invalid_argument(
        text::cat("ridge: ", labels.size(), " labels for rows ", text::shape(rows.sizes().vec())));
  const at::Tensor center = rows.to(at::kDouble).mean(0);
  const at::Tensor centred = rows.to(at::kDouble) - center, targets = targets_of(labels);
  const at::Tensor mean = targets.mean(0);  // [K], the intercept
  const auto [values, directions] = at::linalg_eigh(centred.matmul(centred.t()));
  const Decomposed gram{values.clamp_min(0), directions, directions.t().matmul(targets - mean)};
  const at::Tensor weights = centred.t().matmul(weights_of(gram, best_penalty(gram)));  // [D, K]
  const at::Tensor classes = ((others.to(at::kDouble) - center).matmul(weights) + mean).argmax(1).contiguous();
  const int64_t* given = classes.const_data_ptr<int64_t>();
  return {given, given + classes.numel()};
}

}  // namespace engraft::train
