#include "store/activation_rows.h"

#include <ATen/ATen.h>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::store {

int64_t RowLayout::elements() const {
  int64_t product = 1;
  for (const int64_t size : sizes) product *= size;
  return product;
}

RowLayout layout_of(const at::Tensor& output) {
  RowLayout layout;
  layout.sizes = output.sizes().slice(1).vec();
  layout.channels_last = output.dim() == 4 && output.is_contiguous(at::MemoryFormat::ChannelsLast);
  return layout;
}

at::Tensor flat_rows(const at::Tensor& output, const RowLayout& layout) {
  if (output.sizes().slice(1) != at::IntArrayRef(layout.sizes)) {
    throw ModelError(text::cat("a batch gives rows ", text::shape(output.sizes().slice(1).vec()),
                               ", the first one gave ", text::shape(layout.sizes)));
  }
  const at::Tensor ordered = layout.channels_last ? output.permute({0, 2, 3, 1}) : output;
  return ordered.contiguous().view({output.size(0), layout.elements()});
}

at::Tensor as_batch(const at::Tensor& flat, const RowLayout& layout) {
  std::vector<int64_t> sizes = layout.sizes;
  if (layout.channels_last) sizes = {layout.sizes[1], layout.sizes[2], layout.sizes[0]};
  sizes.insert(sizes.begin(), flat.size(0));
  const at::Tensor batch = flat.view(sizes);
  return layout.channels_last ? batch.permute({0, 3, 1, 2}) : batch;
}

ActivationRows::ActivationRows(RowLayout layout, at::Tensor flat, std::shared_ptr<void> keeps)
    : layout_(std::move(layout)), flat_(std::move(flat)), keeps_(std::move(keeps)) {}

ActivationRows ActivationRows::slice(int64_t begin, int64_t count) const {
  return {layout_, flat_.narrow(0, begin, count), keeps_};
}

at::Tensor ActivationRows::batch(const at::Tensor& positions) const {
  return as_batch(flat_.index_select(0, positions.to(flat_.device())), layout_);
}

}  // namespace engraft::store
