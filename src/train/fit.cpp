#include "train/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "train/average.h"
#include "train/gradients.h"
#include "train/sampler.h"
#include "train/updates.h"

namespace engraft::train {

namespace {

void check(const FitOptions& options) {
  const auto fail = [](const char* what, const auto& found) { throw UsageError(text::cat(what, ", found ", found)); };
  if (options.batch_size < 1) fail("batch size: expected at least 1", options.batch_size);
  if (options.accumulate < 1) fail("accumulate: expected at least 1 batch", options.accumulate);
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1)) {
    fail("label smoothing: expected 0 to below 1", options.label_smoothing);
  }
  if (!(options.ema >= 0 && options.ema < 1)) fail("ema: expected 0 to below 1", options.ema);
  if (!(options.clip_norm >= 0)) fail("clip_norm: expected at least 0", options.clip_norm);
  if (options.optimizer.name == "lbfgs" && options.clip_norm > 0) {
    throw UsageError("clip_norm: lbfgs takes none, its line search needs the gradient as it is");
  }
}

/// Whether the first update of `epoch` is measured; see EpochRecord::updates.
bool measures_updates(int64_t epoch) { return epoch <= 3 || epoch % 8 == 0; }

/// Throws UsageError where those of all epochs could not be counted.
int64_t steps_in_epoch(int64_t rows, const FitOptions& options) {
  const int64_t steps = rows / options.batch_size + (rows % options.batch_size > 0 ? 1 : 0);
  const int64_t most = std::numeric_limits<int64_t>::max() / std::max<int64_t>(1, steps);
  if (options.epochs <= most && options.warmup_epochs <= most) return steps;
  throw UsageError(text::cat("epochs: expected at most ", most, " of ", steps, " steps, found ",
                             std::max(options.epochs, options.warmup_epochs)));
}

/// Throws DataError for a place that a training of `epochs` epochs of `rows` rows does not come to.
void check_place(const Progress& p, int64_t rows, int64_t epochs) {
  const auto require = [](bool holds, const char* what, auto found) {
    if (!holds) throw DataError(text::cat("cannot be gone on from: ", what, " is ", found));
  };
  require(p.step >= 0, "step", p.step);
  require(p.updates >= 0, "updates", p.updates);
  require(p.epoch >= 1 && p.epoch <= epochs + 1, "epoch", p.epoch);
  require(p.rows_done >= 0 && p.rows_done <= rows, "rows_done", p.rows_done);
  require(static_cast<int64_t>(p.epochs.size()) == p.epoch - 1, "the number of epochs' records", p.epochs.size());
  require(p.epochs.empty() ? p.best == 0 : p.best < p.epochs.size(), "best", p.best);
}

/// One call of fit.
class Fitting {
 public:
  Fitting(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
          const FitHooks& hooks)
      : trainee_(trainee),
        train_(train),
        val_(val),
        options_(options),
        reporter_(reporter),
        hooks_(hooks),
        updates_(trainee, train, options),
        schedule_(options.schedule),
        title_(text::cat("stage ", options.stage)) {
    schedule_ = schedule_for(options, train.rows());
    if (hooks.start != nullptr) go_on_from(*hooks.start);
    if (options.ema > 0 && now_.ema.empty()) now_.ema = tensor::snapshot(trainee.state());
  }

  FitResult run() {
    try {
      while (now_.epoch <= options_.epochs && !is_out_of_patience(now_.epochs, options_.patience)) {
        const Stopwatch watch;
        train_epoch();
        end_epoch(watch);
      }
      if (hooks_.checkpointer != nullptr && hooks_.checkpointer->is_due()) save();
    } catch (const Stopped&) {
      if (hooks_.checkpointer != nullptr) save();
      throw;
    }
    if (!now_.ema.empty()) tensor::restore(now_.ema, trainee_.state());
    trainee_.set_training(false);
    return {now_.epochs, now_.best, now_.best_state};
  }

 private:
  void go_on_from(const FitStart& start) {
    check_place(start.progress, train_.rows(), options_.epochs);
    now_ = start.progress;
    tensor::restore(start.trainee, trainee_.state());
    updates_.optimizer().restore(start.optimizer);
    if (now_.ema.empty()) return;
    now_.ema = tensor::snapshot(trainee_.state());
    tensor::restore(start.progress.ema, now_.ema);
  }

  void save() {
    check_state();
    hooks_.checkpointer->save(now_, trainee_, updates_.optimizer());
  }

  /// Throws ModelError if the last update left something that is not finite.
  void check_state() {
    const bool epoch_is_over = now_.rows_done == 0 && now_.epoch > 1;
    check_finite(trainee_.state(), {options_.stage, now_.epoch - (epoch_is_over ? 1 : 0), now_.step});
  }

  /// What is left of the epoch, up to its last update.
  void train_epoch() {
    if (now_.rows_done == train_.rows()) return;
    std::vector<int64_t> order =
        epoch_order({options_.seed, options_.stage, now_.epoch}, train_.rows(), options_.balance_by);
    order.erase(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(now_.rows_done));
    const int64_t reductions = plateau_reductions(val_losses(), schedule_.patience);
    updates_.start(std::move(order), {options_.stage, now_.epoch, now_.step + 1});
    trainee_.set_training(true);
    throw_if_stopped("training");
    while (updates_.has_next()) {
      update(rate_at(schedule_, now_.step, reductions));
      if (hooks_.checkpointer != nullptr && hooks_.checkpointer->is_due()) save();
      throw_if_stopped("training");
    }
  }

  std::vector<double> val_losses() const {
    std::vector<double> losses;
    for (const EpochRecord& epoch : now_.epochs) losses.push_back(epoch.val_loss);
    return losses;
  }

  void update(double rate) {
    const bool is_measured = now_.rows_done == 0 && measures_updates(now_.epoch);
    std::vector<tensor::NamedTensor> before;
    if (is_measured) before = tensor::snapshot(trainee_.parameters());
    const BatchSums sums = updates_.next(rate, [&](const BatchSums& so_far) { report(so_far); });
    if (is_measured) now_.update_sizes = update_sizes(before, trainee_.parameters(), trainee_.outer_gradients());
    update_average(now_.ema, trainee_.state(), averaging_share(options_.ema, now_.updates));
    now_.learning_rate = rate;
    ++now_.updates;
    now_.step += sums.batches;
    now_.rows_done += sums.rows;
    now_.right += sums.right;
    now_.loss_sum += sums.loss;
  }

  void report(const BatchSums& more) {
    const int64_t rows = now_.rows_done + more.rows;
    const double loss = (now_.loss_sum + more.loss) / static_cast<double>(rows);
    reporter_.progress(text::cat(title_, ", epoch ", now_.epoch, " of ", options_.epochs), rows, train_.rows(),
                       "loss " + text::fixed(loss, 4));
  }

  /// Validates, keeps the best, and turns to the next epoch.
  void end_epoch(const Stopwatch& watch) {
    check_state();
    EpochRecord record;
    record.epoch = now_.epoch;
    record.learning_rate = now_.learning_rate;
    record.train_loss = now_.loss_sum / static_cast<double>(now_.rows_done);
    record.train_right = static_cast<double>(now_.right) / static_cast<double>(now_.rows_done);
    record.updates = now_.update_sizes;
    validate(record);
    record.seconds = watch.seconds();
    now_.epochs.push_back(record);
    hooks_.on_epoch(record);
    ++now_.epoch;
    now_.rows_done = now_.right = 0;
    now_.loss_sum = 0;
    now_.update_sizes.clear();
  }

  /// Judges the validation rows, by the average where there is one, and keeps the state if it is the best so far.
  void validate(EpochRecord& record) {
    const AverageScope averaged(trainee_, now_.ema);
    const Outputs outputs = infer(trainee_, val_, options_.batch_size);
    const stats::Judgement judged = judge(outputs, record.epoch);
    record.val_loss = judged.loss;
    record.val_merit = judged.merit;
    record.val_metrics = judged.metrics;
    if (!now_.epochs.empty() && !is_better(record, now_.epochs[now_.best])) return;
    now_.best = now_.epochs.size();
    if (options_.keeps_best) now_.best_state = tensor::snapshot(trainee_.state());
  }

  /// Figures that are all finite. One output that is no number is no loss either, and cannot be ranked.
  stats::Judgement judge(const Outputs& outputs, int64_t epoch) const {
    const Where at{options_.stage, epoch, /*step=*/0};
    for (const float output : outputs.logits) {
      if (std::isnan(output)) check_finite("the validation loss", output, at);
    }
    stats::Judgement judged = stats::judge(answers_of(outputs, options_));
    check_finite("the validation loss", judged.loss, at);
    for (const stats::Metric& metric : judged.metrics) check_finite("the validation " + metric.name, metric.value, at);
    return judged;
  }

  Trainee& trainee_;
  BatchSource& train_;
  BatchSource& val_;
  const FitOptions& options_;
  Reporter& reporter_;
  const FitHooks& hooks_;
  Updates updates_;
  Schedule schedule_;
  const std::string title_;
  Progress now_;
};

}  // namespace

Schedule schedule_for(const FitOptions& options, int64_t rows) {
  check(options);
  const int64_t steps_per_epoch = steps_in_epoch(rows, options);
  Schedule schedule = options.schedule;
  schedule.total_steps = steps_per_epoch * options.epochs;
  schedule.warmup_steps = steps_per_epoch * options.warmup_epochs;
  rate_at(schedule, 0);  // throws at once for a shape that is none
  return schedule;
}

bool is_better(const EpochRecord& a, const EpochRecord& b) {
  return a.val_merit != b.val_merit ? a.val_merit > b.val_merit : a.val_loss < b.val_loss;
}

stats::Answers answers_of(const Outputs& outputs, const FitOptions& options) {
  stats::Answers answers{options.target, outputs.logits, outputs.width, outputs.labels, outputs.values, options.scale};
  if (options.target != Target::kRegression) return answers;
  const auto std = static_cast<float>(options.scale.std), mean = static_cast<float>(options.scale.mean);
  for (float& output : answers.outputs) output = output * std + mean;
  for (double& value : answers.values) value = value * options.scale.std + options.scale.mean;
  return answers;
}

bool is_out_of_patience(const std::vector<EpochRecord>& epochs, int64_t patience) {
  if (patience == 0 || epochs.empty()) return false;
  size_t best = 0;
  for (size_t i = 1; i < epochs.size(); ++i) {
    if (is_better(epochs[i], epochs[best])) best = i;
  }
  return static_cast<int64_t>(epochs.size() - 1 - best) >= patience;
}

FitResult fit(Trainee& trainee, BatchSource& train, BatchSource& val, const FitOptions& options, Reporter& reporter,
              const FitHooks& hooks) {
  return Fitting(trainee, train, val, options, reporter, hooks).run();
}

}  // namespace engraft::train
