#include "finetune/head_stack.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "stats/judgement.h"
#include "tensor/blocks.h"
#include "train/gradients.h"
#include "train/sampler.h"

namespace engraft::finetune {

namespace {

using Kind = model::HeadLayer::Kind;

bool have_one_shape(const model::HeadOptions& a, const model::HeadOptions& b) {
  const auto of_a = layers_of(a), of_b = layers_of(b);
  return of_a.front().kind == Kind::kLinear && a.embedding_dim == b.embedding_dim && a.seed == b.seed &&
         std::equal(of_a.begin(), of_a.end(), of_b.begin(), of_b.end(),
                    [](const model::HeadLayer& x, const model::HeadLayer& y) {
                      return x.kind == y.kind && (x.kind == Kind::kDropout || x.width == y.width);
                    });
}

/// What fit() does and a stack does not.
bool needs_fit(const train::FitOptions& o) {
  return o.accumulate != 1 || o.clip_norm > 0 || o.ema > 0 || o.teacher.weight > 0 || o.optimizer.name == "lbfgs";
}

/// A trial while it learns.
struct Learner {
  size_t trial = 0;
  train::Schedule schedule;
  int64_t reductions = 0;  // of a plateau's rate
  double rate = 0;         // of the last step
};

class Stack {
 public:
  Stack(const std::vector<HeadTrial>& trials, train::BatchSource& train, train::BatchSource& val,
        const StackOptions& options, Reporter& reporter)
      : trials_(trials),
        train_(train),
        val_(val),
        options_(options),
        reporter_(reporter),
        shared_(trials.front().fit),
        outcomes_(trials.size()) {
    for (size_t t = 0; t < trials.size(); ++t) {
      Learner learner;
      learner.trial = t;
      learner.schedule = train::schedule_for(trials[t].fit, train.rows());
      learners_.push_back(std::move(learner));
    }
  }

  std::vector<HeadOutcome> run() {
    for (int64_t epoch = 1; epoch <= shared_.epochs && !learners_.empty(); ++epoch) {
      const Stopwatch watch;
      train_epoch(epoch);
      validate(epoch, watch);
      drop(ended_after(epoch), epoch);
      if (!options_.halves || !is_rung(epoch)) continue;
      const std::vector<size_t> worse = worse_half();
      for (const size_t place : worse) outcomes_[learners_[place].trial].is_halved = true;
      drop(worse, epoch);
    }
    return std::move(outcomes_);
  }

 private:
  static constexpr int64_t kRungs[] = {8, 4, 2};

  bool is_rung(int64_t epoch) const {
    return epoch < shared_.epochs && std::any_of(std::begin(kRungs), std::end(kRungs), [&](int64_t part) {
             return epoch == std::max<int64_t>(1, shared_.epochs / part);
           });
  }

  void train_epoch(int64_t epoch) {
    const std::vector<int64_t> order =
        train::epoch_order({shared_.seed, shared_.stage, epoch}, train_.rows(), shared_.balance_by);
    train_.start(order, epoch, shared_.batch_size);
    for (Learner& learner : learners_) learner.reductions = reductions_of(learner);
    train::TrainBatch batch;
    int64_t rows = 0;
    while (train_.next(batch)) {
      throw_if_stopped("training");
      if (heads_ == nullptr) heads_ = make_head_cohort(trials_, batch.inputs.device());
      heads_->learn(batch, step_, rates());
      ++step_;
      rows += batch.labels.size(0);
      reporter_.progress(text::cat("epoch ", epoch, " of ", shared_.epochs), rows, train_.rows(),
                         text::count_of(static_cast<int64_t>(learners_.size()), "head"));
    }
  }

  int64_t reductions_of(const Learner& learner) const {
    if (learner.schedule.shape != "plateau") return 0;
    std::vector<double> losses;
    for (const train::EpochRecord& record : outcomes_[learner.trial].epochs) losses.push_back(record.val_loss);
    return train::plateau_reductions(losses, learner.schedule.patience);
  }

  std::vector<double> rates() {
    std::vector<double> out;
    for (Learner& learner : learners_) {
      learner.rate = train::rate_at(learner.schedule, step_, learner.reductions);
      out.push_back(learner.rate);
    }
    return out;
  }

  void validate(int64_t epoch, const Stopwatch& watch) {
    const train::HeadSums sums = heads_->take_sums();
    const std::vector<train::Outputs> outputs = infer();
    const auto rows = static_cast<double>(train_.rows());
    tensor::for_blocks(static_cast<int64_t>(learners_.size()), /*longest=*/1, [&](const tensor::Block& one) {
      const auto place = static_cast<size_t>(one.first);
      train::EpochRecord record;
      record.epoch = epoch;
      record.learning_rate = learners_[place].rate;
      record.train_loss = sums.losses[place] / rows;
      record.train_right = static_cast<double>(sums.right[place]) / rows;
      HeadOutcome& outcome = outcomes_[learners_[place].trial];
      std::vector<tensor::NamedTensor> parameters = heads_->parameters(one.first);
      try {
        const train::Where at{shared_.stage, epoch, /*step=*/0};
        train::check_finite("the training loss", record.train_loss, at);
        judge(outputs[place], at, record);
        check_state(parameters, at);
      } catch (const Error& error) {
        outcome.failure = error.what();
        return;
      }
      record.seconds = watch.seconds() / static_cast<double>(learners_.size());
      add(record, outputs[place], std::move(parameters), outcome);
    });
  }

  /// A head had `record`'s epoch, and has these parameters after it.
  void add(const train::EpochRecord& record, const train::Outputs& outputs, std::vector<tensor::NamedTensor> parameters,
           HeadOutcome& outcome) const {
    const bool is_best = outcome.epochs.empty() || train::is_better(record, outcome.epochs[outcome.best]);
    outcome.epochs.push_back(record);
    if (is_best) outcome.best = outcome.epochs.size() - 1;
    if (!is_best && !options_.takes_last) return;
    outcome.parameters = std::move(parameters);
    outcome.outputs = outputs;
  }

  /// As fit() does at each epoch's end. Throws ModelError.
  static void check_state(const std::vector<tensor::NamedTensor>& parameters, const train::Where& at) {
    for (const tensor::NamedTensor& own : parameters) {
      if (!own.value.isfinite().all().item<bool>())
        train::check_finite(own.name, std::numeric_limits<double>::quiet_NaN(), at);
    }
  }

  /// Of every learner for the validation rows.
  std::vector<train::Outputs> infer() {
    std::vector<train::Outputs> outputs(learners_.size());
    std::vector<int64_t> in_order(static_cast<size_t>(val_.rows()));
    for (size_t i = 0; i < in_order.size(); ++i) in_order[i] = static_cast<int64_t>(i);
    val_.start(in_order, /*epoch=*/0, kInferredRows);
    train::TrainBatch batch;
    while (val_.next(batch)) {
      throw_if_stopped("evaluating");
      const at::Tensor logits = heads_->infer(batch.inputs);  // [T, B, K]
      const bool are_classes = batch.labels.scalar_type() == at::kLong;
      const at::Tensor labels = batch.labels.to(at::kCPU, are_classes ? at::kLong : at::kDouble).contiguous();
      const auto each_row = static_cast<size_t>(logits.size(2)), each = each_row * static_cast<size_t>(logits.size(1));
      for (size_t t = 0; t < outputs.size(); ++t) {
        train::Outputs& own = outputs[t];
        own.width = logits.size(2);
        own.logits.reserve(each_row * static_cast<size_t>(val_.rows()));
        const float* values = logits.const_data_ptr<float>() + t * each;
        own.logits.insert(own.logits.end(), values, values + each);
        if (are_classes) {
          const int64_t* given = labels.const_data_ptr<int64_t>();
          own.labels.insert(own.labels.end(), given, given + labels.numel());
        } else {
          const double* given = labels.const_data_ptr<double>();
          own.values.insert(own.values.end(), given, given + labels.numel());
        }
      }
    }
    return outputs;
  }

  void judge(const train::Outputs& outputs, const train::Where& at, train::EpochRecord& record) const {
    for (const float output : outputs.logits) {
      if (std::isnan(output)) train::check_finite("the validation loss", output, at);
    }
    const stats::Judgement judged = stats::judge(train::answers_of(outputs, shared_));
    train::check_finite("the validation loss", judged.loss, at);
    for (const stats::Metric& metric : judged.metrics)
      train::check_finite("the validation " + metric.name, metric.value, at);
    record.val_loss = judged.loss;
    record.val_merit = judged.merit;
    record.val_metrics = judged.metrics;
  }

  /// Places of learners that failed or are out of patience.
  std::vector<size_t> ended_after(int64_t epoch) const {
    std::vector<size_t> places;
    for (size_t i = 0; i < learners_.size(); ++i) {
      const HeadOutcome& outcome = outcomes_[learners_[i].trial];
      const bool is_tired =
          epoch < shared_.epochs && train::is_out_of_patience(outcome.epochs, trials_[learners_[i].trial].fit.patience);
      if (!outcome.failure.empty() || is_tired) places.push_back(i);
    }
    return places;
  }

  std::vector<size_t> worse_half() const {
    std::vector<size_t> places(learners_.size());
    for (size_t i = 0; i < places.size(); ++i) places[i] = i;
    const auto best_of = [&](size_t place) -> const train::EpochRecord& {
      const HeadOutcome& outcome = outcomes_[learners_[place].trial];
      return outcome.epochs[outcome.best];
    };
    std::stable_sort(places.begin(), places.end(),
                     [&](size_t a, size_t b) { return train::is_better(best_of(a), best_of(b)); });
    places.erase(places.begin(), places.begin() + static_cast<std::ptrdiff_t>((places.size() + 1) / 2));
    std::sort(places.begin(), places.end());
    return places;
  }

  /// Goes on without those at `places`, ascending.
  void drop(const std::vector<size_t>& places, int64_t epoch) {
    if (places.empty()) return;
    std::vector<Learner> left;
    std::vector<int64_t> kept;
    for (size_t i = 0; i < learners_.size(); ++i) {
      if (std::binary_search(places.begin(), places.end(), i)) {
        outcomes_[learners_[i].trial].is_cut_short = epoch < shared_.epochs;
        continue;
      }
      kept.push_back(static_cast<int64_t>(i));
      left.push_back(std::move(learners_[i]));
    }
    learners_ = std::move(left);
    if (!learners_.empty()) heads_->keep(kept);
  }

  static constexpr int64_t kInferredRows = 1024;

  const std::vector<HeadTrial>& trials_;
  train::BatchSource& train_;
  train::BatchSource& val_;
  const StackOptions options_;
  Reporter& reporter_;
  const train::FitOptions& shared_;
  std::vector<HeadOutcome> outcomes_;
  std::vector<Learner> learners_;      // as they stand in the layers
  std::unique_ptr<HeadCohort> heads_;  // from the first batch on, which tells the device
  int64_t step_ = 0;
};

}  // namespace

bool can_stand_together(const HeadTrial& a, const HeadTrial& b) {
  const train::FitOptions &x = a.fit, &y = b.fit;
  return !needs_fit(x) && !needs_fit(y) && have_one_shape(a.head, b.head) && x.seed == y.seed && x.stage == y.stage &&
         x.epochs == y.epochs && x.batch_size == y.batch_size && x.balance_by == y.balance_by && x.target == y.target &&
         x.label_smoothing == y.label_smoothing && x.class_weights == y.class_weights && x.scale.mean == y.scale.mean &&
         x.scale.std == y.scale.std && x.optimizer.name == y.optimizer.name &&
         x.optimizer.momentum == y.optimizer.momentum && x.optimizer.nesterov == y.optimizer.nesterov;
}

std::vector<HeadOutcome> fit_heads(const std::vector<HeadTrial>& trials, train::BatchSource& train,
                                   train::BatchSource& val, const StackOptions& options, Reporter& reporter) {
  if (trials.empty()) return {};
  for (const HeadTrial& trial : trials) {
    if (!can_stand_together(trials.front(), trial))
      throw UsageError("heads that learn by other batches, losses or rules, or have other layers, cannot be stacked");
  }
  return Stack(trials, train, val, options, reporter).run();
}

}  // namespace engraft::finetune
