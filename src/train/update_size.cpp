#include "train/update_size.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

namespace engraft::train {

namespace {

double length(const at::Tensor& value) {
  return at::linalg_vector_norm(value, 2, /*dim=*/c10::nullopt, /*keepdim=*/false, at::kDouble).item<double>();
}

double share_still(const at::Tensor& change, const at::Tensor& gradient) {
  if (!gradient.defined()) return 0;
  const at::Tensor pulled = gradient.ne(0);
  const auto count = pulled.count_nonzero().item<int64_t>();
  if (count == 0) return 0;
  const auto still = pulled.logical_and_(change.eq(0)).count_nonzero().item<int64_t>();
  return static_cast<double>(still) / static_cast<double>(count);
}

}  // namespace

std::vector<UpdateSize> update_sizes(const std::vector<tensor::NamedTensor>& before,
                                     const std::vector<tensor::NamedTensor>& parameters) {
  const c10::NoGradGuard no_grad;
  std::vector<UpdateSize> sizes;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor &was = before[i].value, &is = parameters[i].value;
    const double weight = length(was);
    const at::Tensor change = is - was;
    sizes.push_back({parameters[i].name, weight > 0 ? length(change) / weight : 0, share_still(change, is.grad())});
  }
  return sizes;
}

}  // namespace engraft::train
