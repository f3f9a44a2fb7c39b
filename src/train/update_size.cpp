#include "train/update_size.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <functional>

#include "tensor/blocks.h"

namespace engraft::train {

namespace {

constexpr int64_t kBlock = 1 << 18;  // elements

struct Sums {
  double change = 0;  // squares
  double weight = 0;  // squares
  int64_t pulled = 0;
  int64_t still = 0;

  void add(const Sums& other) {
    change += other.change;
    weight += other.weight;
    pulled += other.pulled;
    still += other.still;
  }
};

double squares(const at::Tensor& value) {
  const double length =
      at::linalg_vector_norm(value, 2, /*dim=*/c10::nullopt, /*keepdim=*/false, at::kDouble).item<double>();
  return length * length;
}

Sums sums_of(const at::Tensor& was, const at::Tensor& is, const at::Tensor& gradient) {
  const at::Tensor change = is - was;
  Sums sums{squares(change), squares(was)};
  if (gradient.defined()) {
    const at::Tensor pulled = gradient.ne(0);
    sums.pulled = pulled.count_nonzero().item<int64_t>();
    sums.still = pulled.logical_and_(change.eq(0)).count_nonzero().item<int64_t>();
  }
  return sums;
}

/// Over blocks of `longest` elements, whose gradient `gradient_of` gives as [n] or undefined.
Sums sums_by_blocks(const at::Tensor& was, const at::Tensor& is, int64_t longest,
                    const std::function<at::Tensor(const tensor::Block&)>& gradient_of) {
  std::vector<Sums> parts(static_cast<size_t>(tensor::count_blocks(is.numel(), longest)));
  tensor::for_blocks(is.numel(), longest, [&](const tensor::Block& block) {
    parts[static_cast<size_t>(block.index)] =
        sums_of(tensor::elements(was, block), tensor::elements(is, block), gradient_of(block));
  });
  Sums sums;
  for (const Sums& part : parts) sums.add(part);
  return sums;
}

Sums sums_of_parameter(const at::Tensor& was, const at::Tensor& is, const tensor::OuterGradient* outer) {
  const at::Tensor gradient = is.grad();
  const bool is_alike = was.strides() == is.strides() && (!gradient.defined() || gradient.strides() == is.strides());
  if (!is.is_cpu() || !is_alike) return sums_of(was, is, gradient);
  if (outer == nullptr || outer->is_empty()) {
    return sums_by_blocks(was, is, kBlock, [&](const tensor::Block& block) {
      return gradient.defined() ? tensor::elements(gradient, block) : at::Tensor();
    });
  }
  const int64_t columns = outer->columns(), rows = (kBlock + columns - 1) / columns;
  return sums_by_blocks(was, is, rows * columns, [&](const tensor::Block& block) {
    return outer->rows(block.first / columns, block.count / columns).view({-1});
  });
}

}  // namespace

std::vector<UpdateSize> update_sizes(const std::vector<tensor::NamedTensor>& before,
                                     const std::vector<tensor::NamedTensor>& parameters,
                                     std::vector<tensor::OuterGradient*> outer_gradients) {
  const c10::NoGradGuard no_grad;
  outer_gradients.resize(parameters.size(), nullptr);
  const auto share = [](auto part, auto whole) { return whole > 0 ? static_cast<double>(part) / whole : 0.0; };
  std::vector<UpdateSize> sizes;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Sums sums = sums_of_parameter(before[i].value, parameters[i].value, outer_gradients[i]);
    sizes.push_back({parameters[i].name, share(std::sqrt(sums.change), std::sqrt(sums.weight)),
                     share(sums.still, static_cast<double>(sums.pulled))});
  }
  return sizes;
}

}  // namespace engraft::train
