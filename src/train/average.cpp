#include "train/average.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace engraft::train {

double averaging_share(double most, int64_t n) {
  return std::min(most, static_cast<double>(1 + n) / static_cast<double>(10 + n));
}

void update_average(const std::vector<tensor::NamedTensor>& average, const std::vector<tensor::NamedTensor>& state,
                    double share) {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < average.size(); ++i) {
    at::Tensor mean = average[i].value;
    if (mean.is_floating_point()) {
      mean.mul_(share).add_(state[i].value, 1 - share);
    } else {
      mean.copy_(state[i].value);
    }
  }
}

AverageScope::AverageScope(Trainee& trainee, const std::vector<tensor::NamedTensor>& average) : trainee_(trainee) {
  if (average.empty()) return;
  own_ = tensor::snapshot(trainee.state());
  tensor::restore(average, trainee.state());
}

AverageScope::~AverageScope() {
  if (!own_.empty()) tensor::restore(own_, trainee_.state());
}

}  // namespace engraft::train
