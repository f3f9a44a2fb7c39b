#pragma once

#include <memory>
#include <vector>

#include "data/listing.h"
#include "data/loader.h"
#include "engine/engine.h"
#include "store/activation_rows.h"
#include "train/fit.h"

namespace engraft::finetune {

/// Batches from rows that were computed once: features for a head, a trunk's activations for a top.
class RowsSource : public train::BatchSource {
 public:
  /// As many `rows` as `labels` [N] int64; batches go to the device of the labels.
  RowsSource(store::ActivationRows rows, at::Tensor labels);
  int64_t rows() const override;
  void start(const std::vector<int64_t>& order, int64_t batch_size) override;
  bool next(train::TrainBatch& batch) override;

 private:
  store::ActivationRows rows_;
  at::Tensor labels_;
  at::Tensor order_;
  int64_t batch_size_ = 1;
  int64_t position_ = 0;
};

/// The same from pictures, decoded and run through the frozen trunk anew in every pass: bit-equal batches. All rows are
/// known to be readable: one that is not any more throws DataError.
class PictureSource : public train::BatchSource {
 public:
  /// `rows` of `listing`; the engine runs the trunk with the batch size of the training.
  PictureSource(const data::Listing& listing, std::vector<int64_t> rows, engine::Engine& engine,
                int64_t loader_threads);
  ~PictureSource() override;
  int64_t rows() const override;
  void start(const std::vector<int64_t>& order, int64_t batch_size) override;
  bool next(train::TrainBatch& batch) override;

 private:
  const data::Listing& listing_;
  std::vector<int64_t> rows_;
  engine::Engine& engine_;
  int64_t loader_threads_;
  std::unique_ptr<data::Loader> loader_;
};

/// Labels of `rows` as [N] int64 on `device`.
at::Tensor labels_of(const data::Listing& listing, const std::vector<int64_t>& rows, const c10::Device& device);

}  // namespace engraft::finetune
