#include "finetune/sources.h"

#include <ATen/ATen.h>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/forward_pass.h"

namespace engraft::finetune {

at::Tensor labels_of(const data::Listing& listing, const std::vector<int64_t>& rows, const c10::Device& device) {
  std::vector<int64_t> labels;
  labels.reserve(rows.size());
  for (const int64_t row : rows) labels.push_back(listing.samples[static_cast<size_t>(row)].label);
  return at::tensor(labels, at::kLong).to(device);
}

RowsSource::RowsSource(store::ActivationRows rows, at::Tensor labels)
    : rows_(std::move(rows)), labels_(std::move(labels)) {
  if (rows_.rows() != labels_.size(0)) {
    throw ModelError(text::cat(rows_.rows(), " rows for ", labels_.size(0), " labels"));
  }
}

int64_t RowsSource::rows() const { return rows_.rows(); }

void RowsSource::start(const std::vector<int64_t>& order, int64_t batch_size) {
  order_ = at::tensor(order, at::kLong);
  batch_size_ = batch_size;
  position_ = 0;
}

bool RowsSource::next(train::TrainBatch& batch) {
  const int64_t left = order_.size(0) - position_;
  if (left <= 0) return false;
  const at::Tensor chosen = order_.narrow(0, position_, std::min(left, batch_size_));
  position_ += chosen.size(0);
  batch.inputs = rows_.batch(chosen).to(labels_.device());              // [B, …]
  batch.labels = labels_.index_select(0, chosen.to(labels_.device()));  // [B]
  return true;
}

PictureSource::PictureSource(const data::Listing& listing, std::vector<int64_t> rows, engine::Engine& engine,
                             int64_t loader_threads)
    : listing_(listing), rows_(std::move(rows)), engine_(engine), loader_threads_(loader_threads) {}

PictureSource::~PictureSource() = default;

int64_t PictureSource::rows() const { return static_cast<int64_t>(rows_.size()); }

void PictureSource::start(const std::vector<int64_t>& order, int64_t batch_size) {
  if (batch_size != engine_.options().batch_size) throw ModelError("the trunk's batch size is not the training's");
  std::vector<int64_t> wanted;
  wanted.reserve(order.size());
  for (const int64_t index : order) wanted.push_back(rows_[static_cast<size_t>(index)]);
  loader_.reset();
  loader_ = std::make_unique<data::Loader>(
      std::move(wanted), picture_loader(listing_, engine_.options().preprocessing),
      picture_loader_options(engine_.options().preprocessing, batch_size, loader_threads_));
}

bool PictureSource::next(train::TrainBatch& batch) {
  const data::Batch* loaded = loader_->next();
  if (loaded == nullptr) return false;
  if (!loaded->bad.empty()) {
    const data::BadSample& bad = loaded->bad.front();
    throw DataError(listing_.samples[static_cast<size_t>(bad.row)].file +
                    ": was readable at the start of the run and is not any more: " + bad.reason);
  }
  const at::Tensor activations = engine_.run(loaded->data).front();  // [batch_size, C, H, W]
  const at::Tensor good = activations.narrow(0, 0, static_cast<int64_t>(loaded->rows.size()));
  const store::RowLayout layout = store::layout_of(activations);
  batch.inputs = store::as_batch(store::flat_rows(good, layout), layout);
  batch.labels = labels_of(listing_, loaded->rows, engine_.options().device);
  return true;
}

}  // namespace engraft::finetune
