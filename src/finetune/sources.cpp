#include "finetune/sources.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/picture_loader.h"
#include "stats/regression.h"

namespace engraft::finetune {

namespace {

constexpr uint64_t kMixKey = 0x6d6978;  // "mix"
/// Of regression: the most that float32's steps at the labels' mean may be of their deviation.
constexpr double kMostRounding = 1e-3;

/// [N, K] float32: 1 where the class holds.
at::Tensor many_hot(const data::Listing& listing, const std::vector<int64_t>& rows) {
  const auto count = static_cast<int64_t>(rows.size()), classes = static_cast<int64_t>(listing.classes.size());
  at::Tensor holds = at::zeros({count, classes}, at::kFloat);
  float* values = holds.mutable_data_ptr<float>();
  for (int64_t i = 0; i < count; ++i) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(rows[static_cast<size_t>(i)])];
    for (const int64_t label : sample.labels) values[i * classes + label] = 1;
  }
  return holds;
}

/// Throws DataError where float32 does not have it.
double standardised(const data::Sample& sample, const TargetScale& scale) {
  const double value = (sample.value - scale.mean) / scale.std;
  if (std::abs(value) <= std::numeric_limits<float>::max()) return value;
  throw DataError(text::cat(sample.image_path, ": label '", sample.label_name, "' is ", text::shortest(value),
                            " deviations of the training labels, beyond float32; is it in their unit?"));
}

}  // namespace

TargetScale scale_of(Target target, const std::string& path, const data::Listing& listing,
                     const std::vector<int64_t>& rows) {
  if (target != Target::kRegression) return {};
  std::vector<double> values;
  for (const int64_t row : rows) values.push_back(listing.samples[static_cast<size_t>(row)].value);
  const TargetScale scale = stats::scale_of(values);
  if (scale.std == 0) {
    throw DataError(text::cat(path, ": all training labels are ", text::shortest(scale.mean), "; nothing to learn"));
  }
  if (!std::isfinite(static_cast<float>(scale.mean)) || !std::isnormal(static_cast<float>(scale.std))) {
    throw DataError(text::cat(path, ": training labels of mean ", text::shortest(scale.mean), " and deviation ",
                              text::shortest(scale.std), " are beyond float32; use another unit"));
  }
  const double step = std::abs(scale.mean) * std::numeric_limits<float>::epsilon();
  if (step > kMostRounding * scale.std) {
    throw DataError(text::cat(path, ": training labels of mean ", text::shortest(scale.mean), " and deviation ",
                              text::shortest(scale.std), ": model.pt gives float32, which has steps of ",
                              text::fixed(step, 6), " there; take an offset off the labels"));
  }
  for (const data::Sample& sample : listing.samples) {
    if (!sample.label_name.empty()) standardised(sample, scale);
  }
  return scale;
}

at::Tensor labels_of(const data::Listing& listing, const std::vector<int64_t>& rows, const LabelForm& form,
                     const c10::Device& device) {
  const auto sample = [&](int64_t row) -> const data::Sample& { return listing.samples[static_cast<size_t>(row)]; };
  switch (form.target) {
    case Target::kMultiLabel:
      return many_hot(listing, rows).to(device);
    case Target::kRegression: {
      std::vector<double> values;
      for (const int64_t row : rows) values.push_back(standardised(sample(row), form.scale));
      return at::tensor(values, at::kDouble).to(at::kFloat).unsqueeze(1).to(device);  // [N, 1]
    }
    case Target::kSoftmax:
    case Target::kSigmoid:
      break;
  }
  std::vector<int64_t> labels;
  labels.reserve(rows.size());
  for (const int64_t row : rows) labels.push_back(sample(row).label);
  return at::tensor(labels, at::kLong).to(device);
}

int64_t SourceRows::item(int64_t index, int64_t epoch) const {
  const int64_t row = rows[static_cast<size_t>(index)];
  return views.is_random() ? views.item(row, views.view_in(row, epoch)) : row;
}

RowsSource::RowsSource(store::ActivationRows activations, SourceRows rows, at::Tensor labels)
    : activations_(std::move(activations)), rows_(std::move(rows)), labels_(std::move(labels)) {
  if (activations_.rows() != labels_.size(0) * rows_.views.count || labels_.size(0) != this->rows()) {
    throw ModelError(text::cat(activations_.rows(), " rows of activations for ", labels_.size(0), " labels in ",
                               text::count_of(rows_.views.count, "view")));
  }
}

int64_t RowsSource::rows() const { return static_cast<int64_t>(rows_.rows.size()); }

void RowsSource::start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) {
  order_ = at::tensor(order, at::kLong);
  std::vector<int64_t> places = order;
  if (rows_.views.count > 1) {
    for (int64_t& place : places) {
      const int64_t view = rows_.views.view_in(rows_.rows[static_cast<size_t>(place)], epoch);
      place = place * rows_.views.count + view;
    }
  }
  places_ = at::tensor(places, at::kLong);
  batch_size_ = batch_size;
  position_ = 0;
}

bool RowsSource::next(train::TrainBatch& batch) {
  const int64_t count = std::min(order_.size(0) - position_, batch_size_);
  if (count <= 0) return false;
  const at::Tensor chosen = order_.narrow(0, position_, count);
  batch.inputs = activations_.batch(places_.narrow(0, position_, count)).to(labels_.device());  // [B, …]
  batch.labels = labels_.index_select(0, chosen.to(labels_.device()));                          // [B, …]
  position_ += count;
  return true;
}

PictureSource::PictureSource(const data::Listing& listing, SourceRows rows, engine::Engine& engine,
                             const Options& options)
    : listing_(listing), rows_(std::move(rows)), engine_(engine), options_(options) {}

PictureSource::~PictureSource() = default;

int64_t PictureSource::rows() const { return static_cast<int64_t>(rows_.rows.size()); }

void PictureSource::start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) {
  if (batch_size != engine_.options().batch_size) throw ModelError("the trunk's batch size is not the training's");
  std::vector<int64_t> wanted;
  wanted.reserve(order.size());
  for (const int64_t index : order) wanted.push_back(rows_.item(index, epoch));
  epoch_ = epoch;
  loader_.reset();
  loader_ = std::make_unique<data::Loader>(
      std::move(wanted), picture_loader(listing_, engine_.options().preprocessing, rows_.views),
      picture_loader_options(engine_.options().preprocessing, batch_size, options_.loader_threads));
}

const uint8_t* PictureSource::mixed(const data::Batch& loaded, train::TrainBatch& batch) {
  batch.other_labels = batch.shares = at::Tensor();
  if (!options_.mix.is_on() || epoch_ == 0) return loaded.data;
  const int64_t size = engine_.options().preprocessing.size_px;
  const auto count = static_cast<int64_t>(loaded.rows.size());
  mixed_pixels_.assign(loaded.data, loaded.data + engine_.options().batch_size * size * size * 3);
  RandomStream stream(options_.seed, {kMixKey, static_cast<uint64_t>(epoch_), static_cast<uint64_t>(loaded.rows[0])});
  const double share = mix_pictures(mixed_pixels_.data(), count, size, options_.mix, stream);
  batch.other_labels = batch.labels.roll({1}, {0});
  batch.shares = at::full({count}, share, batch.labels.options().dtype(at::kFloat));
  return mixed_pixels_.data();
}

bool PictureSource::next(train::TrainBatch& batch) {
  const data::Batch* loaded = loader_->next();
  if (loaded == nullptr) return false;
  std::vector<int64_t> rows = loaded->rows;
  for (int64_t& row : rows) row = rows_.views.row_of(row);
  if (!loaded->bad.empty()) {
    const data::BadSample& bad = loaded->bad.front();
    throw DataError(listing_.samples[static_cast<size_t>(rows_.views.row_of(bad.row))].file +
                    ": was readable at the start of the run and is not any more: " + bad.reason);
  }
  batch.labels = labels_of(listing_, rows, options_.labels, engine_.options().device);
  const at::Tensor activations = engine_.run(mixed(*loaded, batch)).front();  // [batch_size, C, H, W]
  const at::Tensor good = activations.narrow(0, 0, static_cast<int64_t>(loaded->rows.size()));
  const store::RowLayout layout = store::layout_of(activations);
  batch.inputs = store::as_batch(store::flat_rows(good, layout), layout);
  return true;
}

TaughtSource::TaughtSource(std::unique_ptr<train::BatchSource> source, at::Tensor lessons)
    : source_(std::move(source)), lessons_(std::move(lessons)) {
  if (lessons_.size(0) != rows())
    throw ModelError(text::cat(lessons_.size(0), " lessons of a teacher for ", rows(), " pictures"));
}

void TaughtSource::start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) {
  source_->start(order, epoch, batch_size);
  order_ = at::tensor(order, at::kLong).to(lessons_.device());
  position_ = 0;
}

bool TaughtSource::next(train::TrainBatch& batch) {
  if (!source_->next(batch)) return false;
  const int64_t count = batch.labels.size(0);
  batch.lessons = lessons_.index_select(0, order_.narrow(0, position_, count));
  position_ += count;
  return true;
}

}  // namespace engraft::finetune
