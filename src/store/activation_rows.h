#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace engraft::store {

/// How one row of what a trunk gives lies in memory.
struct RowLayout {
  /// Without the batch: [C, H, W] or [D].
  std::vector<int64_t> sizes;
  /// The elements of a [C, H, W] row stand in the order H, W, C.
  bool channels_last = false;

  /// Elements of a row.
  int64_t elements() const;
  bool operator==(const RowLayout& other) const { return sizes == other.sizes && channels_last == other.channels_last; }
};

/// The layout of the rows of `output` [B, …]. What is neither contiguous nor channels_last counts as contiguous.
RowLayout layout_of(const at::Tensor& output);

/// `output` [B, …] as [B, elements] in the order of `layout`; a view where it lies so already.
at::Tensor flat_rows(const at::Tensor& output, const RowLayout& layout);

/// The other way: a view of `flat` [B, elements], contiguous, as [B, …] with the strides of the layout and no others,
/// so that whatever runs on it takes the same kernels wherever the rows came from.
at::Tensor as_batch(const at::Tensor& flat, const RowLayout& layout);

/// Rows of one layout, float32, in memory or mapped from a file. Cheap to copy: copies share the rows.
class ActivationRows {
 public:
  ActivationRows() = default;
  /// `flat` is [N, elements], contiguous. `keeps` is held as long as the rows are: whatever owns their memory.
  ActivationRows(RowLayout layout, at::Tensor flat, std::shared_ptr<void> keeps = nullptr);

  int64_t rows() const { return flat_.defined() ? flat_.size(0) : 0; }
  const RowLayout& layout() const { return layout_; }
  /// Rows `begin` to `begin + count`, sharing memory.
  ActivationRows slice(int64_t begin, int64_t count) const;
  /// A copy of the rows at `positions` [B] int64 as a batch [B, …].
  at::Tensor batch(const at::Tensor& positions) const;

 private:
  RowLayout layout_;
  at::Tensor flat_;
  std::shared_ptr<void> keeps_;
};

}  // namespace engraft::store
