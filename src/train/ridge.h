#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace engraft::train {

/// Ridge regression of classes on rows [N, D]: one regression a class to +1 and -1 with an intercept, the class with
/// the largest value. The penalty is the one of eleven, 1e-6 to 1e4 times the mean variance that lies in a direction of
/// the rows, whose squared errors on rows left out are least. All penalties and all rows left out follow from one
/// decomposition, in float64, of the lesser of the Gram matrix [N, N] and the covariance [D, D]: a linear smoother with
/// hat matrix H leaves rows F out with the errors (I - H_FF)⁻¹ r_F (Allen's PRESS; with single rows as scikit-learn's
/// RidgeClassifierCV has it).
class Ridge {
 public:
  /// `labels` (N, from 0). `folds`: as many parts of the rows, drawn from `seed`, are left out one after another; 0:
  /// each row by itself. Throws std::invalid_argument without rows, with labels that are not as many, and for folds
  /// that are 1 or more than the rows.
  Ridge(const at::Tensor& rows, const std::vector<int64_t>& labels, int64_t folds = 0, uint64_t seed = 42);

  /// The penalty chosen, in units of the rows' squares.
  double penalty() const { return penalty_; }
  /// The class that each row is given where it is left out.
  const std::vector<int64_t>& left_out_classes() const { return left_out_; }
  /// The classes of `others` [M, D].
  std::vector<int64_t> classes_of(const at::Tensor& others) const;

 private:
  double penalty_ = 0;
  std::vector<int64_t> left_out_;
  at::Tensor center_;   // [D]
  at::Tensor mean_;     // [K], the intercept
  at::Tensor weights_;  // [D, K]
};

/// Ridge(rows, labels).classes_of(others).
std::vector<int64_t> ridge_classes(const at::Tensor& rows, const std::vector<int64_t>& labels,
                                   const at::Tensor& others);

}  // namespace engraft::train
