#include "finetune/scan_probes.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "base/text.h"
#include "finetune/sources.h"
#include "finetune/trainees.h"
#include "stats/classification.h"
#include "store/activation_rows.h"
#include "train/fit.h"
#include "train/ridge.h"

namespace engraft::finetune {

namespace {

constexpr uint64_t kHeldOutKey = 0x68656c64;  // "held"
constexpr double kHeldOut = 0.2;              // of the training rows, for the choice of the penalty
/// Of rows whose values have a mean variance of 1; from the strongest on, each fit begins where the one before ended.
constexpr double kPenalties[] = {1, 0.1, 0.01, 0.001, 0.0001};
/// Updates of lbfgs, 20 iterations each.
constexpr int64_t kUpdates = 3, kLastUpdates = 5;
constexpr int64_t kMostParameters = 2000000;  // as lbfgs has it

std::vector<bool> equal(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  std::vector<bool> same(a.size());
  for (size_t i = 0; i < a.size(); ++i) same[i] = a[i] == b[i];
  return same;
}

ProbeRows selected(const ProbeRows& from, const std::vector<int64_t>& places) {
  ProbeRows out{from.rows.index_select(0, at::tensor(places, at::kLong)), {}};
  for (const int64_t place : places) out.labels.push_back(from.labels[static_cast<size_t>(place)]);
  return out;
}

/// Multinomial logistic regression, cross-entropy plus penalty / 2 · |weights|², by the head and the loop of `train`.
class Logistic {
 public:
  Logistic(int64_t dimension, int64_t classes) : head_(options_of(dimension, classes)), trainee_(head_) {}

  /// Goes on from where the last call ended.
  void fit(const ProbeRows& rows, double penalty, int64_t updates) {
    const auto source = source_of(rows);
    train::FitOptions options;
    options.epochs = updates;
    options.optimizer.name = "lbfgs";
    options.optimizer.weight_decay = penalty;
    options.schedule.shape = "constant";
    options.schedule.learning_rate = 1;
    options.batch_size = kBatch;
    options.keeps_best = false;
    train::FitHooks hooks;
    hooks.on_epoch = [](const train::EpochRecord&) {};
    SilentReporter silent;
    ProbeRows one = selected(rows, {0});  // what fit validates on after each update counts for nothing here
    const auto any = source_of(one);
    train::fit(trainee_, *source, *any, options, silent, hooks);
  }

  stats::Classification judge(const ProbeRows& rows, std::vector<int64_t>* classes = nullptr) {
    const auto source = source_of(rows);
    const train::Outputs outputs = train::infer(trainee_, *source, kBatch);
    if (classes != nullptr) {
      for (size_t i = 0; i < rows.labels.size(); ++i) {
        const float* logits = outputs.logits.data() + i * static_cast<size_t>(outputs.width);
        classes->push_back(std::max_element(logits, logits + outputs.width) - logits);
      }
    }
    return stats::classify(outputs.logits, outputs.width, rows.labels);
  }

 private:
  static constexpr int64_t kBatch = 1024;

  static model::HeadOptions options_of(int64_t dimension, int64_t classes) {
    model::HeadOptions options;
    options.embedding_dim = dimension;
    options.outputs = classes;
    return options;
  }

  static std::unique_ptr<RowsSource> source_of(const ProbeRows& rows) {
    return std::make_unique<RowsSource>(store::ActivationRows({{rows.rows.size(1)}, false}, rows.rows),
                                        SourceRows{rows.labels}, at::tensor(rows.labels, at::kLong));
  }

  model::Head head_;
  HeadTrainee trainee_;
};

/// Training rows with mean 0 and a mean variance of 1, and `val` by the same arithmetic.
void standardise(ProbeRows& train, ProbeRows& val) {
  const at::Tensor mean = train.rows.mean(0);
  const double scale = std::sqrt((train.rows - mean).square().mean().item<double>());
  const double divisor = scale > 0 ? scale : 1;
  train.rows = ((train.rows - mean) / divisor).contiguous();
  val.rows = ((val.rows - mean) / divisor).contiguous();
}

double best_penalty(const ProbeRows& train, int64_t classes, uint64_t seed) {
  RandomStream stream(seed, {kHeldOutKey});
  const auto count = static_cast<int64_t>(train.labels.size());
  const std::vector<int64_t> order = permutation(count, stream);
  const auto held = order.begin() + std::max<std::ptrdiff_t>(1, std::llround(kHeldOut * static_cast<double>(count)));
  const ProbeRows judged = selected(train, {order.begin(), held}), learned = selected(train, {held, order.end()});
  Logistic logistic(train.rows.size(1), classes);
  double best = kPenalties[0], least = std::numeric_limits<double>::infinity();
  for (const double penalty : kPenalties) {
    logistic.fit(learned, penalty, kUpdates);
    const double loss = logistic.judge(judged).loss;
    if (loss < least) {
      least = loss;
      best = penalty;
    }
  }
  return best;
}

}  // namespace

void probe_rows(const ProbeRows& train, const ProbeRows& val, int64_t classes, const ScanOptions& options,
                TapScore& score) {
  const auto seed = static_cast<uint64_t>(options.seed);
  const train::Ridge ridge(train.rows, train.labels, options.folds, seed);
  score.left_out_right = equal(ridge.left_out_classes(), train.labels);
  score.ridge_right = equal(ridge.classes_of(val.rows), val.labels);
  score.ridge_penalty = ridge.penalty();
  const int64_t parameters = (train.rows.size(1) + 1) * classes;
  if (options.skip_logistic) {
    score.why_no_logistic = "--skip-logistic";
  } else if (parameters > kMostParameters) {
    score.why_no_logistic = text::cat(text::magnitude(static_cast<double>(parameters)), " parameters, more than ",
                                      text::magnitude(static_cast<double>(kMostParameters)));
  } else if (train.labels.size() < 5) {
    score.why_no_logistic = "fewer than 5 training pictures";
  } else {
    ProbeRows learned = train, judged = val;
    standardise(learned, judged);
    score.logistic_penalty = best_penalty(learned, classes, seed);
    Logistic logistic(learned.rows.size(1), classes);
    logistic.fit(learned, score.logistic_penalty, kLastUpdates);
    std::vector<int64_t> told;
    logistic.judge(judged, &told);
    score.logistic_right = equal(told, val.labels);
  }
}

}  // namespace engraft::finetune
