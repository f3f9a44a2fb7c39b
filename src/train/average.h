#pragma once

#include <cstdint>
#include <vector>

#include "tensor/named.h"
#include "train/trainee.h"

namespace engraft::train {

/// Share of the old average at update `n`, counted from 0, where `most` is wanted: min(most, (1 + n) / (10 + n)).
double averaging_share(double most, int64_t n);

/// Moves `average` towards `state`, in place: floating tensors to share · average + (1 - share) · state, others to a
/// copy. Both name the same tensors in the same order.
void update_average(const std::vector<tensor::NamedTensor>& average, const std::vector<tensor::NamedTensor>& state,
                    double share);

/// Puts `average` into a trainee's state for as long as it lives; nothing where it is empty.
class AverageScope {
 public:
  AverageScope(Trainee& trainee, const std::vector<tensor::NamedTensor>& average);
  ~AverageScope();
  AverageScope(const AverageScope&) = delete;
  AverageScope& operator=(const AverageScope&) = delete;

 private:
  Trainee& trainee_;
  std::vector<tensor::NamedTensor> own_;
};

}  // namespace engraft::train
