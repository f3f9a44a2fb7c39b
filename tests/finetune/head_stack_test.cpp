#include "finetune/head_stack.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "finetune/sources.h"
#include "finetune/trainees.h"

using namespace engraft;

namespace {

constexpr int64_t kRows = 90, kDim = 12;

struct Clouds {
  at::Tensor rows;
  std::vector<int64_t> labels;
};

/// Rows around `classes` centres.
Clouds clouds(int64_t rows, int64_t classes, int64_t seed) {
  at::manual_seed(3);
  const at::Tensor centers = at::randn({classes, kDim});
  at::manual_seed(static_cast<uint64_t>(seed));
  Clouds made{at::empty({rows, kDim}), {}};
  for (int64_t i = 0; i < rows; ++i) {
    made.rows[i] = centers[i % classes] + 1.5 * at::randn({kDim});
    made.labels.push_back(i % classes);
  }
  return made;
}

std::unique_ptr<train::BatchSource> source_of(const Clouds& of) {
  return std::make_unique<finetune::RowsSource>(store::ActivationRows({{kDim}, false}, of.rows),
                                                finetune::SourceRows{of.labels}, at::tensor(of.labels, at::kLong));
}

finetune::HeadTrial trial(const std::string& spec, double rate, double decay) {
  finetune::HeadTrial out;
  out.head.embedding_dim = kDim;
  out.head.outputs = 3;
  out.head.spec = spec;
  out.fit.epochs = 6;
  out.fit.batch_size = 16;
  out.fit.optimizer.weight_decay = decay;
  out.fit.schedule.learning_rate = rate;
  return out;
}

std::vector<finetune::HeadOutcome> stacked(const std::vector<finetune::HeadTrial>& trials,
                                           const finetune::StackOptions& options = {}) {
  const Clouds known = clouds(kRows, 3, 1), asked = clouds(30, 3, 2);
  const auto train = source_of(known), val = source_of(asked);
  SilentReporter silent;
  return finetune::fit_heads(trials, *train, *val, options, silent);
}

train::FitResult single(const finetune::HeadTrial& of) {
  const Clouds known = clouds(kRows, 3, 1), asked = clouds(30, 3, 2);
  const auto train = source_of(known), val = source_of(asked);
  model::Head head(of.head);
  finetune::HeadTrainee trainee(head);
  SilentReporter silent;
  train::FitHooks hooks;
  hooks.on_epoch = [](const train::EpochRecord&) {};
  return train::fit(trainee, *train, *val, of.fit, silent, hooks);
}

double difference(const std::vector<tensor::NamedTensor>& a, const std::vector<tensor::NamedTensor>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].name == b[i].name);
    largest = std::max(largest, (a[i].value - b[i].value).abs().max().item<double>());
  }
  return largest;
}

}  // namespace

TEST_CASE("heads in a stack learn what each learns by itself", "[module]") {
  struct Case {
    const char *optimizer, *spec;
    double smoothing;
    std::vector<double> class_weights;
  };
  const std::vector<Case> cases = {{"adamw", "", 0, {}},
                                   {"sgd", "", 0.1, {}},
                                   {"rmsprop", "", 0.1, {1, 2, 0.5}},
                                   {"rmsprop_keras", "", 0, {}},
                                   {"rmsprop", "fc=8,relu", 0, {1, 2, 0.5}},
                                   {"rmsprop_keras", "fc=8,gelu,fc=5,tanh", 0, {}},
                                   {"adamw", "fc=8,silu,dropout=0.3,fc=6,relu,dropout=0.5", 0, {}}};
  for (const Case& c : cases) {
    INFO(c.optimizer << " " << c.spec);
    std::vector<finetune::HeadTrial> trials;
    for (const double rate : {0.03, 0.003, 0.0003}) {
      for (const double decay : {0.0, 0.1}) {
        finetune::HeadTrial one = trial(c.spec, rate, decay);
        one.fit.optimizer.name = c.optimizer;
        one.fit.label_smoothing = c.smoothing;
        one.fit.class_weights = c.class_weights;
        trials.push_back(one);
      }
    }
    trials[1].fit.schedule.shape = "plateau";
    trials[2].fit.warmup_epochs = 2;
    const auto outcomes = stacked(trials);
    REQUIRE(outcomes.size() == trials.size());
    for (size_t t = 0; t < trials.size(); ++t) {
      const train::FitResult alone = single(trials[t]);
      REQUIRE(outcomes[t].epochs.size() == alone.epochs.size());
      CHECK(outcomes[t].best == alone.best);
      // Products of other shapes round otherwise; 36 updates carry that on.
      CHECK(difference(outcomes[t].parameters, alone.best_state) < 1e-4);
      for (size_t e = 0; e < alone.epochs.size(); ++e) {
        CHECK(outcomes[t].epochs[e].train_loss == Approx(alone.epochs[e].train_loss).epsilon(1e-4));
        CHECK(outcomes[t].epochs[e].val_loss == Approx(alone.epochs[e].val_loss).epsilon(1e-4));
        CHECK(outcomes[t].epochs[e].train_right == Approx(alone.epochs[e].train_right));
        CHECK(outcomes[t].epochs[e].learning_rate == alone.epochs[e].learning_rate);
      }
    }
  }
}

TEST_CASE("heads in a stack learn other targets, balanced epochs and the last epoch as each does", "[module]") {
  struct Case {
    Target target;
    int64_t outputs;
    double smoothing;
    std::vector<double> class_weights;
    bool is_balanced, takes_last;
  };
  const std::vector<Case> cases = {{Target::kSigmoid, 1, 0.1, {1, 3}, false, false},
                                   {Target::kMultiLabel, 3, 0.1, {1, 2, 0.5}, false, false},
                                   {Target::kRegression, 1, 0, {}, false, false},
                                   {Target::kSoftmax, 3, 0, {}, true, true}};
  const Clouds known = clouds(kRows, 3, 1), asked = clouds(30, 3, 2);
  for (const Case& c : cases) {
    INFO(to_text(c.target));
    const auto source = [&](const Clouds& of) {
      at::Tensor labels = at::tensor(of.labels, at::kLong);
      if (c.target == Target::kSigmoid) labels = labels.gt(0).to(at::kLong);
      if (c.target == Target::kMultiLabel) labels = at::one_hot(labels, 3).to(at::kFloat).cumsum(1);
      if (c.target == Target::kRegression) labels = labels.to(at::kFloat).sub(1).unsqueeze(1);
      return std::make_unique<finetune::RowsSource>(store::ActivationRows({{kDim}, false}, of.rows),
                                                    finetune::SourceRows{of.labels}, labels);
    };
    std::vector<finetune::HeadTrial> trials;
    for (const double rate : {0.03, 0.003}) {
      trials.push_back(trial("fc=6,tanh", rate, 0.01));
      train::FitOptions& fit = trials.back().fit;
      trials.back().head.outputs = c.outputs;
      fit.target = c.target;
      fit.label_smoothing = c.smoothing;
      fit.class_weights = c.class_weights;
      if (c.target == Target::kRegression) fit.scale = {10, 4};
      if (c.is_balanced) fit.balance_by = known.labels;
    }
    SilentReporter silent;
    const auto train = source(known), val = source(asked);
    const auto outcomes = finetune::fit_heads(trials, *train, *val, {false, c.takes_last}, silent);
    for (size_t t = 0; t < trials.size(); ++t) {
      model::Head head(trials[t].head);
      finetune::HeadTrainee trainee(head);
      train::FitHooks hooks;
      hooks.on_epoch = [](const train::EpochRecord&) {};
      const train::FitResult alone = train::fit(trainee, *train, *val, trials[t].fit, silent, hooks);
      REQUIRE(outcomes[t].epochs.size() == alone.epochs.size());
      CHECK(outcomes[t].best == alone.best);
      for (size_t e = 0; e < alone.epochs.size(); ++e) {
        const train::EpochRecord &own = outcomes[t].epochs[e], &expected = alone.epochs[e];
        CHECK(own.train_loss == Approx(expected.train_loss).epsilon(1e-4));
        CHECK(own.train_right == Approx(expected.train_right));
        CHECK(own.val_loss == Approx(expected.val_loss).epsilon(1e-4));
        REQUIRE(own.val_metrics.size() == expected.val_metrics.size());
        for (size_t m = 0; m < own.val_metrics.size(); ++m)
          CHECK(own.val_metrics[m].value == Approx(expected.val_metrics[m].value).epsilon(1e-4));
      }
      const auto& kept = c.takes_last ? trainee.state() : alone.best_state;
      CHECK(difference(outcomes[t].parameters, kept) < 1e-4);
    }
  }
}

TEST_CASE("what a head learns does not depend on its neighbours, dropout included", "[module]") {
  std::vector<finetune::HeadTrial> trials;
  for (const char* spec : {"fc=16,relu,dropout=0.2", "fc=16,relu,dropout=0.5", "fc=16,relu,dropout=0.9"})
    trials.push_back(trial(spec, 0.01, 0));
  const auto together = stacked(trials);
  for (size_t t = 0; t < trials.size(); ++t) {
    CHECK(difference(stacked({trials[t]}).front().parameters, together[t].parameters) < 1e-4);
  }
  CHECK(difference(together[0].parameters, together[2].parameters) > 1e-3);
}

TEST_CASE("a head whose loss is no number fails alone", "[module]") {
  finetune::HeadTrial wild = trial("", 1e38, 0), tame = trial("", 0.01, 0);
  wild.fit.optimizer.name = tame.fit.optimizer.name = "sgd";
  const auto outcomes = stacked({tame, wild, tame});
  CHECK(outcomes[0].failure.empty());
  CHECK_THAT(outcomes[1].failure, Catch::Matchers::Contains("stage 1, epoch"));
  CHECK(outcomes[2].epochs.size() == 6);
  CHECK(difference(outcomes[0].parameters, stacked({tame}).front().parameters) < 1e-5);
}

TEST_CASE("halving and patience end heads early and leave the others as they were", "[module]") {
  std::vector<finetune::HeadTrial> trials;
  for (const double rate : {0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8}) trials.push_back(trial("", rate, 0));
  for (finetune::HeadTrial& one : trials) one.fit.epochs = 16;
  finetune::StackOptions options;
  options.halves = true;
  const auto halved = stacked(trials, options), whole = stacked(trials);
  std::vector<int64_t> lengths(17, 0);
  for (const auto& outcome : halved) {
    ++lengths[outcome.epochs.size()];
    CHECK(outcome.is_cut_short == (outcome.epochs.size() < 16));
    CHECK(outcome.is_halved == outcome.is_cut_short);
    CHECK(outcome.parameters.size() == 2);
  }
  CHECK(lengths[2] == 4);
  CHECK(lengths[4] == 2);
  CHECK(lengths[8] == 1);
  CHECK(lengths[16] == 1);
  for (size_t t = 0; t < trials.size(); ++t) {
    if (!halved[t].is_cut_short) CHECK(difference(halved[t].parameters, whole[t].parameters) < 1e-4);
  }
  trials.resize(2);
  trials[1].fit.patience = 1;
  const auto tired = stacked(trials);
  CHECK(tired[0].epochs.size() == 16);
  CHECK(tired[1].epochs.size() == single(trials[1]).epochs.size());
}

TEST_CASE("heads that learn by other batches or rules are refused", "[module]") {
  const finetune::HeadTrial plain = trial("", 0.01, 0);
  std::vector<finetune::HeadTrial> others(6, plain);
  others[0].fit.batch_size = 8;
  others[1].fit.seed = 1;
  others[2].head.spec = "fc=4";
  others[3].fit.optimizer.name = "sgd";
  others[4].fit.label_smoothing = 0.1;
  others[5].fit.epochs = 2;
  for (const finetune::HeadTrial& other : others) {
    CHECK_FALSE(finetune::can_stand_together(plain, other));
    CHECK_THROWS_AS(stacked({plain, other}), UsageError);
  }
  finetune::HeadTrial dropped_first = plain;
  dropped_first.head.spec = "dropout=0.5";
  CHECK_FALSE(finetune::can_stand_together(dropped_first, dropped_first));
  finetune::HeadTrial averaged = plain;
  averaged.fit.ema = 0.9;
  CHECK_FALSE(finetune::can_stand_together(averaged, averaged));
}
