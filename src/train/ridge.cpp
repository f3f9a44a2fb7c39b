#include "train/ridge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "base/random.h"
#include "base/text.h"

namespace engraft::train {

namespace {

constexpr uint64_t kFoldKey = 0x666f6c64;  // "fold"

/// +1 in the column of the class, else -1, [N, K].
at::Tensor targets_of(const std::vector<int64_t>& labels) {
  const int64_t classes = 1 + *std::max_element(labels.begin(), labels.end());
  at::Tensor targets = at::full({static_cast<int64_t>(labels.size()), classes}, -1.0, at::kDouble);
  return targets.scatter_(1, at::tensor(labels).unsqueeze(1), 1.0);
}

std::vector<int64_t> highest(const at::Tensor& values) {  // [M, K]
  const at::Tensor classes = values.argmax(1).contiguous();
  const int64_t* given = classes.const_data_ptr<int64_t>();
  return {given, given + classes.numel()};
}

/// Centred rows in directions in which they vary independently, R of them, and the centred targets there.
struct Decomposed {
  at::Tensor variances;   // [R], sums of squares, at least 0
  at::Tensor directions;  // [N, R], a column each, of length 1 (or 0 where there is no variance)
  at::Tensor targets;     // [N, K]
  at::Tensor along;       // [R, K], the targets in these directions

  int64_t rows() const { return directions.size(0); }
  /// What is kept of each direction under `penalty`, [R].
  at::Tensor kept(double penalty) const { return variances / (variances + penalty); }
  /// Targets less what is fitted to them, [N, K].
  at::Tensor residuals(const at::Tensor& kept) const { return targets - directions.matmul(along * kept.unsqueeze(1)); }
};

Decomposed decompose(const at::Tensor& centred, const at::Tensor& targets) {
  Decomposed out;
  out.targets = targets;
  if (centred.size(0) <= centred.size(1)) {
    const auto [values, vectors] = at::linalg_eigh(centred.matmul(centred.t()));
    out.variances = values.clamp_min(0);
    out.directions = vectors;
  } else {
    const auto [values, vectors] = at::linalg_eigh(centred.t().matmul(centred));
    const double least = 1e-13 * std::max(values.max().item<double>(), 0.0);
    const at::Tensor varies = values.gt(least);
    out.variances = at::where(varies, values, at::zeros_like(values));
    out.directions = centred.matmul(vectors) * at::where(varies, values.rsqrt(), at::zeros_like(values));
  }
  out.along = out.directions.t().matmul(targets);
  return out;
}

/// What each row's targets less its prediction are where it is left out, by itself or with its fold, [N, K].
at::Tensor left_out_residuals(const Decomposed& data, double penalty, const std::vector<at::Tensor>& folds) {
  const at::Tensor kept = data.kept(penalty);
  at::Tensor residuals = data.residuals(kept);
  const double of_mean = 1.0 / static_cast<double>(data.rows());  // the intercept's part in each row's own prediction
  if (folds.empty()) {
    const at::Tensor own = (data.directions.square() * kept).sum(1) + of_mean;  // [N]
    return residuals / (1 - own).clamp_min(1e-12).unsqueeze(1);
  }
  for (const at::Tensor& fold : folds) {  // [F]
    const at::Tensor directions = data.directions.index_select(0, fold);
    const at::Tensor hat = (directions * kept).matmul(directions.t()) + of_mean;  // [F, F]
    const at::Tensor rest = at::eye(fold.numel(), hat.options()) - hat;
    residuals.index_copy_(0, fold, at::linalg_solve(rest, residuals.index_select(0, fold)));
  }
  return residuals;
}

std::vector<at::Tensor> draw_folds(int64_t rows, int64_t folds, uint64_t seed) {
  RandomStream stream(seed, {kFoldKey});
  const at::Tensor order = at::tensor(permutation(rows, stream), at::kLong);
  std::vector<at::Tensor> parts;
  for (int64_t f = 0; f < folds; ++f) {
    const int64_t begin = rows * f / folds;
    parts.push_back(order.narrow(0, begin, rows * (f + 1) / folds - begin));
  }
  return parts;
}

}  // namespace

Ridge::Ridge(const at::Tensor& rows, const std::vector<int64_t>& labels, int64_t folds, uint64_t seed) {
  if (rows.dim() != 2 || rows.size(0) == 0 || rows.size(0) != static_cast<int64_t>(labels.size()))
    throw std::invalid_argument(
        text::cat("ridge: ", labels.size(), " labels for rows ", text::shape(rows.sizes().vec())));
  if (folds == 1 || folds > rows.size(0))
    throw std::invalid_argument(text::cat("ridge: ", folds, " folds of ", rows.size(0), " rows"));
  center_ = rows.to(at::kDouble).mean(0);
  const at::Tensor centred = rows.to(at::kDouble) - center_, targets = targets_of(labels);
  mean_ = targets.mean(0);
  const Decomposed data = decompose(centred, targets - mean_);
  const std::vector<at::Tensor> parts = folds > 0 ? draw_folds(rows.size(0), folds, seed) : std::vector<at::Tensor>{};
  const double scale = std::max(data.variances.sum().item<double>() / static_cast<double>(rows.size(0)), 1e-300);
  double least = std::numeric_limits<double>::infinity();
  at::Tensor residuals;
  for (int power = -6; power <= 4; ++power) {
    const double penalty = scale * std::pow(10.0, power);
    const at::Tensor found = left_out_residuals(data, penalty, parts);
    const double error = found.square().mean().item<double>();
    if (residuals.defined() && !(error < least)) continue;
    least = error;
    penalty_ = penalty;
    residuals = found;
  }
  left_out_ = highest(data.targets + mean_ - residuals);
  // (X'X + p)⁻¹ X'y = X' (XX' + p)⁻¹ y = X' U diag(1 / (v + p)) U'y: of y nothing else comes through X'.
  weights_ = centred.t().matmul(data.directions.matmul(data.along / (data.variances + penalty_).unsqueeze(1)));
}

std::vector<int64_t> Ridge::classes_of(const at::Tensor& others) const {
  return highest((others.to(at::kDouble) - center_).matmul(weights_) + mean_);
}

std::vector<int64_t> ridge_classes(const at::Tensor& rows, const std::vector<int64_t>& labels,
                                   const at::Tensor& others) {
  return Ridge(rows, labels).classes_of(others);
}

}  // namespace engraft::train
