#include "train/update_size.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstdint>
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

/// Of tensors of any kind.
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

/// Of `count` numbers in one pass; `is_pulled(i)`: whether the gradient of number i is other than 0.
template <class IsPulled>
Sums sums_of(const float* was, const float* is, int64_t count, const IsPulled& is_pulled) {
  Sums sums;
  for (int64_t i = 0; i < count; ++i) {
    const float change = is[i] - was[i];
    sums.change += static_cast<double>(change) * change;
    sums.weight += static_cast<double>(was[i]) * was[i];
    const bool pulled = is_pulled(i);
    sums.pulled += pulled;
    sums.still += pulled && change == 0;
  }
  return sums;
}

/// Over blocks of `longest` numbers, in order.
Sums sums_by_blocks(int64_t total, int64_t longest, const std::function<Sums(const tensor::Block&)>& sums_of_block) {
  std::vector<Sums> parts(static_cast<size_t>(tensor::count_blocks(total, longest)));
  tensor::for_blocks(total, longest, [&](const tensor::Block& block) {
    parts[static_cast<size_t>(block.index)] = sums_of_block(block);
  });
  Sums sums;
  for (const Sums& part : parts) sums.add(part);
  return sums;
}

/// For each of the n units of a factor [B, n], which rows of the batch it is not 0 in: a bit a row, `words` numbers a
/// unit.
std::vector<uint64_t> rows_of_units(const at::Tensor& factor, int64_t words) {
  const at::Tensor values = factor.contiguous();
  const float* value = values.const_data_ptr<float>();
  const int64_t batch = values.size(0), units = values.size(1);
  std::vector<uint64_t> bits(static_cast<size_t>(units * words), 0);
  for (int64_t k = 0; k < batch; ++k) {
    for (int64_t unit = 0; unit < units; ++unit, ++value) {
      bits[static_cast<size_t>(unit * words + k / 64)] |= static_cast<uint64_t>(*value != 0) << (k % 64);
    }
  }
  return bits;
}

/// An element of the gradient is other than 0 where both factors are in some row of the batch.
Sums sums_by_factors(const float* was, const float* is, const tensor::OuterGradient& gradient) {
  const int64_t rows = gradient.of_outputs().size(1), columns = gradient.inputs().size(1);
  const int64_t words = (gradient.inputs().size(0) + 63) / 64;
  const std::vector<uint64_t> of_rows = rows_of_units(gradient.of_outputs(), words);
  const std::vector<uint64_t> of_columns = rows_of_units(gradient.inputs(), words);
  return sums_by_blocks(rows * columns, columns, [&](const tensor::Block& block) {
    const uint64_t* row = of_rows.data() + block.index * words;
    const uint64_t* column = of_columns.data();
    return sums_of(was + block.first, is + block.first, columns, [&](int64_t i) {
      bool is_pulled = false;
      for (int64_t word = 0; word < words; ++word) is_pulled |= (row[word] & column[i * words + word]) != 0;
      return is_pulled;
    });
  });
}

Sums sums_of_parameter(const at::Tensor& was, const at::Tensor& is, const tensor::OuterGradient* outer) {
  const at::Tensor gradient = is.grad();
  const bool is_plain = is.is_cpu() && is.scalar_type() == at::kFloat && was.scalar_type() == at::kFloat &&
                        is.is_non_overlapping_and_dense();
  const bool is_alike = was.strides() == is.strides() && (!gradient.defined() || gradient.strides() == is.strides());
  if (!is_plain || !is_alike) return sums_of(was, is, gradient);
  const float *before = was.const_data_ptr<float>(), *after = is.const_data_ptr<float>();
  if (outer != nullptr && !outer->is_empty()) return sums_by_factors(before, after, *outer);
  const float* pull = gradient.defined() ? gradient.const_data_ptr<float>() : nullptr;
  return sums_by_blocks(is.numel(), kBlock, [&](const tensor::Block& block) {
    const int64_t first = block.first;
    return sums_of(before + first, after + first, block.count,
                   [&](int64_t i) { return pull != nullptr && pull[first + i] != 0; });
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
