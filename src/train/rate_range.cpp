#include "train/rate_range.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "train/gradients.h"
#include "train/sampler.h"
#include "train/updates.h"

namespace engraft::train {

namespace {

constexpr double kKept = 0.98;  // of the smoothed loss at each step
constexpr double kRunaway = 4;  // times the lowest smoothed loss
constexpr int64_t kLeastSteps = 10;

double highest_rate(const FitOptions& options, const RangeOptions& range) {
  return range.highest.value_or(options.optimizer.name == "sgd" ? 10 : 1);
}

void check(const FitOptions& options, const RangeOptions& range) {
  if (options.optimizer.name == "lbfgs") throw UsageError("learning rate range: lbfgs searches its rate by itself");
  const double highest = highest_rate(options, range);
  if (!(range.lowest > 0 && range.lowest < highest && std::isfinite(highest))) {
    throw UsageError(text::cat("learning rate range: expected 0 < lowest < highest, found ",
                               text::shortest(range.lowest), " and ", text::shortest(highest)));
  }
  if (range.steps < kLeastSteps) {
    throw UsageError(text::cat("learning rate range: expected at least ", kLeastSteps, " steps, found ", range.steps));
  }
}

/// The batches of epoch 1, over and over.
class RoundBatches {
 public:
  RoundBatches(BatchSource& source, const FitOptions& options)
      : source_(source),
        order_(epoch_order({options.seed, options.stage, kEpoch}, source.rows(), options.balance_by)),
        batch_size_(options.batch_size) {
    start();
  }

  void start() {
    source_.start(order_, kEpoch, batch_size_);
    index_ = -1;
  }
  TrainBatch next() {
    TrainBatch batch;
    while (!source_.next(batch)) start();
    ++index_;
    return batch;
  }
  /// Of the batch that next() gave, in its round.
  int64_t index() const { return index_; }
  int64_t in_a_round() const { return (source_.rows() + batch_size_ - 1) / batch_size_; }

 private:
  static constexpr int64_t kEpoch = 1;

  BatchSource& source_;
  std::vector<int64_t> order_;
  int64_t batch_size_;
  int64_t index_ = -1;
};

/// Brings a trainee back when it ends.
class Restored {
 public:
  explicit Restored(Trainee& trainee) : trainee_(trainee), state_(tensor::snapshot(trainee.state())) {}
  ~Restored() {
    tensor::restore(state_, trainee_.state());
    trainee_.set_training(false);
  }
  Restored(const Restored&) = delete;
  Restored& operator=(const Restored&) = delete;

 private:
  Trainee& trainee_;
  std::vector<tensor::NamedTensor> state_;
};

/// Index of the lowest smoothed loss, from the `first` point on where there are more.
size_t lowest_of(const std::vector<RangePoint>& points, size_t first) {
  const auto begin = points.begin() + static_cast<std::ptrdiff_t>(first < points.size() ? first : 0);
  const auto lowest = std::min_element(
      begin, points.end(), [](const RangePoint& a, const RangePoint& b) { return a.smoothed < b.smoothed; });
  return static_cast<size_t>(lowest - points.begin());
}

/// Index of the steepest fall between two points; none where the loss never fell.
std::optional<size_t> steepest_of(const std::vector<RangePoint>& points, size_t first, size_t last, size_t reach) {
  std::optional<size_t> steepest;
  double least = 0;
  for (size_t i = first + reach; i + reach <= last; ++i) {
    const double change = points[i + reach].smoothed - points[i - reach].smoothed;
    if (change >= least) continue;
    least = change;
    steepest = i;
  }
  return steepest;
}

/// Fills in the suggestions.
void suggest(RateRange& range, int64_t steps) {
  const auto first = static_cast<size_t>(steps / 10);
  const auto reach = static_cast<size_t>(std::max<int64_t>(1, steps / 20));
  const size_t lowest = lowest_of(range.points, first);
  range.below_best = range.points[lowest].learning_rate / 10;
  const std::optional<size_t> steepest = steepest_of(range.points, first, lowest, reach);
  range.steepest = steepest ? range.points[*steepest].learning_rate : range.below_best;
}

class RangeTest {
 public:
  RangeTest(Trainee& trainee, BatchSource& train, const FitOptions& options, const RangeOptions& range)
      : trainee_(trainee),
        options_(options),
        range_(range),
        loss_{options.target, options.label_smoothing, options.class_weights, options.teacher},
        optimizer_(optimizer_for(trainee, options)),
        batches_(train, options) {
    if (train.rows() == 0) throw UsageError("learning rate range: there are no training rows");
  }

  RateRange run(Reporter& reporter) {
    const Restored restored(trainee_);
    trainee_.set_training(true);
    measure_batches();
    RateRange out;
    double lowest = 0, least_lowest = 0;
    for (int64_t step = 0; step < range_.steps; ++step) {
      const std::optional<RangePoint> point = train_step(step);
      if (!point) break;
      out.points.push_back(*point);
      reporter.progress("learning rate range", step + 1, range_.steps, "loss " + text::fixed(point->smoothed, 4));
      if (step == 0) {
        lowest = point->smoothed;
        least_lowest = lowest / 100;  // a loss that has all but vanished may waver by more than four times itself
      }
      if (point->smoothed > kRunaway * lowest) break;
      lowest = std::max(least_lowest, std::min(lowest, point->smoothed));
    }
    suggest(out, range_.steps);
    return out;
  }

 private:
  double rate_of(int64_t step) const {
    const double share = static_cast<double>(step) / static_cast<double>(range_.steps - 1);
    return range_.lowest * std::pow(highest_rate(options_, range_) / range_.lowest, share);
  }

  /// Seeded by the batch alone, so that dropout makes no difference between its rounds.
  double loss_of_next(const std::function<double(const TrainBatch&)>& loss) {
    throw_if_stopped("trying learning rates");
    const TrainBatch batch = batches_.next();
    seed_step({options_.seed, options_.stage, batches_.index()});
    return loss(batch);
  }

  /// How far each batch's loss lies above the mean of all at the first weights: what must not be taken for a rate's
  /// work.
  void measure_batches() {
    const c10::NoGradGuard no_grad;
    const std::vector<tensor::NamedTensor> before = tensor::snapshot(trainee_.state());
    const int64_t batches = std::min(range_.steps, batches_.in_a_round());
    double sum = 0;
    for (int64_t i = 0; i < batches; ++i) {
      excess_.push_back(loss_of_next(
          [&](const TrainBatch& batch) { return train::loss_of(trainee_, batch, loss_).loss.item<double>(); }));
      check_finite("the loss", excess_.back(), {options_.stage, /*epoch=*/1, i + 1});
      sum += excess_.back();
    }
    for (double& loss : excess_) loss -= sum / static_cast<double>(batches);
    tensor::restore(before, trainee_.state());  // statistics that forward passes move
    batches_.start();
  }

  /// Nothing where the rate of the step before was so high that the loss is not finite.
  std::optional<RangePoint> train_step(int64_t step) {
    optimizer_->zero_grad();
    const double loss =
        loss_of_next([&](const TrainBatch& batch) { return add_gradient(trainee_, batch, loss_, /*share=*/1).loss; });
    if (!std::isfinite(loss)) return std::nullopt;
    if (options_.clip_norm > 0) clip_gradient(trainee_, options_.clip_norm);
    const double rate = rate_of(step);
    optimizer_->step(rate);
    mean_ = kKept * mean_ + (1 - kKept) * (loss - excess_[static_cast<size_t>(batches_.index())]);
    return RangePoint{rate, loss, mean_ / (1 - std::pow(kKept, static_cast<double>(step + 1)))};
  }

  Trainee& trainee_;
  const FitOptions& options_;
  const RangeOptions& range_;
  const LossOptions loss_;
  const std::unique_ptr<Optimizer> optimizer_;
  RoundBatches batches_;
  std::vector<double> excess_;
  double mean_ = 0;
};

}  // namespace

RateRange range_test(Trainee& trainee, BatchSource& train, const FitOptions& options, const RangeOptions& range,
                     Reporter& reporter) {
  check(options, range);
  return RangeTest(trainee, train, options, range).run(reporter);
}

}  // namespace engraft::train
