#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/target.h"
#include "data/listing.h"
#include "data/loader.h"
#include "engine/engine.h"
#include "finetune/mixing.h"
#include "finetune/views.h"
#include "store/activation_rows.h"
#include "train/fit.h"

namespace engraft::finetune {

/// How the labels of `rows` are standardised: by mean and deviation in regression, else by nothing. Throws DataError,
/// naming the data at `path`, where the labels of `rows` have no spread or one that float32 has not, and, naming the
/// picture, for any label of the listing that float32 does not have then.
TargetScale scale_of(Target target, const std::string& path, const data::Listing& listing,
                     const std::vector<int64_t>& rows);

/// How labels become tensors.
struct LabelForm {
  Target target = Target::kSoftmax;
  /// Of regression.
  TargetScale scale = {};
};

/// Labels of `rows` as TrainBatch has them, on `device`.
at::Tensor labels_of(const data::Listing& listing, const std::vector<int64_t>& rows, const LabelForm& form,
                     const c10::Device& device);

/// Pictures as a source takes them.
struct SourceRows {
  /// Rows of the listing.
  std::vector<int64_t> rows;
  /// Of training pictures; for validation the default, the pictures as they are.
  Views views = {};

  /// The item of the `index`-th row in `epoch`.
  int64_t item(int64_t index, int64_t epoch) const;
};

/// Batches from rows that were computed once: features for a head, a trunk's activations for a top.
class RowsSource : public train::BatchSource {
 public:
  /// `activations` hold what `rows` gave: all views of the first row, of the second, … `labels` are
  /// labels_of the rows; batches go to their device.
  RowsSource(store::ActivationRows activations, SourceRows rows, at::Tensor labels);
  int64_t rows() const override;
  void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) override;
  bool next(train::TrainBatch& batch) override;

 private:
  store::ActivationRows activations_;
  SourceRows rows_;
  at::Tensor labels_;
  at::Tensor places_;  // of the order's rows in the activations
  at::Tensor order_;
  int64_t batch_size_ = 1;
  int64_t position_ = 0;
};

/// The same from pictures, decoded and run through the frozen trunk anew in every pass: bit-equal batches. Where they
/// are mixed, that comes before the trunk. All rows are known to be readable: one that is not any more throws
/// DataError.
class PictureSource : public train::BatchSource {
 public:
  struct Options {
    int64_t loader_threads = 0;
    LabelForm labels = {};
    MixOptions mix = {};
    /// Of what is drawn for mixing, with epoch and pictures.
    uint64_t seed = 0;
  };
  /// `rows` of `listing`; the engine runs the trunk with the batch size of the training.
  PictureSource(const data::Listing& listing, SourceRows rows, engine::Engine& engine, const Options& options);
  ~PictureSource() override;
  int64_t rows() const override;
  void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) override;
  bool next(train::TrainBatch& batch) override;

 private:
  /// Mixes the loaded pictures where that is wanted, and says so in `batch`; the pixels to run.
  const uint8_t* mixed(const data::Batch& loaded, train::TrainBatch& batch);

  const data::Listing& listing_;
  SourceRows rows_;
  engine::Engine& engine_;
  Options options_;
  int64_t epoch_ = 0;
  std::unique_ptr<data::Loader> loader_;
  std::vector<uint8_t> mixed_pixels_;
};

/// Another source's batches with what a teacher gives for their rows.
class TaughtSource : public train::BatchSource {
 public:
  /// `lessons` [rows, width], on the device of the source's batches. Throws ModelError for another number of rows.
  TaughtSource(std::unique_ptr<train::BatchSource> source, at::Tensor lessons);
  int64_t rows() const override { return source_->rows(); }
  void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) override;
  bool next(train::TrainBatch& batch) override;

 private:
  std::unique_ptr<train::BatchSource> source_;
  at::Tensor lessons_;
  at::Tensor order_;
  int64_t position_ = 0;
};

}  // namespace engraft::finetune
