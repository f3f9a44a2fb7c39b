#include <catch2/catch.hpp>
#include <functional>

#include "base/stop.h"
#include "small.h"
#include "train/fit.h"

using namespace engraft;
using small::CutOff;
using small::Perceptron;
using small::Rows;
using small::xor_rows;

namespace {

struct Case {
  const char* name;
  bool mixes;
  std::function<void(train::FitOptions&)> change;
};

constexpr int64_t kRows = 56;  // three batches of 20, the last ragged

std::vector<int64_t> labels_of_xor() {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < kRows; ++i) labels.push_back((i & 1) ^ ((i >> 1) & 1));
  return labels;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"adamw", false, [](auto&) {}},
      {"sgd", false, [](auto& o) { o.optimizer.name = "sgd"; }},
      {"sgd nesterov", false,
       [](auto& o) {
         o.optimizer = {"sgd", 0.8, true, 0.1};
       }},
      {"rmsprop", false, [](auto& o) { o.optimizer.name = "rmsprop"; }},
      {"rmsprop with momentum", false,
       [](auto& o) {
         o.optimizer = {"rmsprop", 0.5, false, 0.1};
       }},
      {"rmsprop_keras", false, [](auto& o) { o.optimizer.name = "rmsprop_keras"; }},
      {"rmsprop_keras with momentum", false,
       [](auto& o) {
         o.optimizer = {"rmsprop_keras", 0.5, false, 0.1};
       }},
      {"lbfgs", false, [](auto& o) { o.optimizer.name = "lbfgs"; }},
      {"lbfgs with ema", true,
       [](auto& o) {
         o.optimizer.name = "lbfgs";
         o.ema = 0.9;
       }},
      {"ema", false, [](auto& o) { o.ema = 0.9; }},
      {"ragged groups", false, [](auto& o) { o.accumulate = 2; }},
      {"clipped", false, [](auto& o) { o.clip_norm = 0.1; }},
      {"plateau", false,
       [](auto& o) {
         o.warmup_epochs = 0;
         o.schedule.shape = "plateau";
         o.schedule.patience = 0;
         o.schedule.learning_rate = 0.3;
       }},
      {"one_cycle", false,
       [](auto& o) {
         o.warmup_epochs = 0;
         o.schedule.shape = "one_cycle";
       }},
      {"balanced", false, [](auto& o) { o.balance_by = labels_of_xor(); }},
      {"patience", false,
       [](auto& o) {
         o.warmup_epochs = 0;
         o.schedule.shape = "constant";
         o.patience = 1;
         o.schedule.learning_rate = 0.3;
       }},
      {"mixed", true, [](auto&) {}},
      {"all together", true,
       [](auto& o) {
         o.optimizer = {"sgd", 0.8, true, 0.01};
         o.ema = 0.9;
         o.accumulate = 2;
         o.clip_norm = 0.5;
         o.balance_by = labels_of_xor();
         o.label_smoothing = 0.1;
         o.class_weights = {1, 3};
         o.patience = 2;
         o.schedule.shape = "plateau";
         o.schedule.patience = 0;
       }},
  };
  return kCases;
}

train::FitOptions options_of(const Case& one) {
  train::FitOptions options;
  options.epochs = 4;
  options.batch_size = 20;
  options.schedule.learning_rate = 0.01;
  options.warmup_epochs = 1;
  one.change(options);
  return options;
}

Rows source(const Case& one, uint64_t seed) {
  Rows rows = xor_rows(seed, kRows);
  rows.mixes = one.mixes;
  return rows;
}

/// What a training leaves.
struct End {
  std::string weights, best_state;
  size_t best = 0, epochs = 0;
  std::vector<double> told;

  explicit End(Perceptron& net, const train::FitResult& result)
      : weights(tensor::digest(net.state())),
        best_state(tensor::digest(result.best_state)),
        best(result.best),
        epochs(result.epochs.size()) {
    for (const train::EpochRecord& e : result.epochs) {
      told.insert(told.end(), {e.learning_rate, e.train_loss, e.train_right, e.val_loss, e.val_merit});
      for (const train::UpdateSize& update : e.updates) told.insert(told.end(), {update.ratio, update.still});
    }
  }
  bool operator==(const End& other) const {
    return weights == other.weights && best_state == other.best_state && best == other.best && told == other.told;
  }
};

End trained(const Case& one, const train::FitHooks& hooks) {
  Perceptron net(2);
  Rows train = source(one, 1), val = source(one, 9);
  SilentReporter silent;
  const train::FitResult result = fit(net, train, val, options_of(one), silent, hooks);
  return End(net, result);
}

void ignore(const train::EpochRecord&) {}

}  // namespace

TEST_CASE("a training that goes on from any step ends in the same bits", "[unit]") {
  for (const Case& one : cases()) {
    const End expected = trained(one, {ignore});
    REQUIRE(expected.epochs > 0);
    const auto steps = static_cast<int64_t>(expected.epochs) * 3;  // 3 batches an epoch
    for (int64_t step = 1; step <= steps; ++step) {
      INFO(one.name << ", cut off after step " << step);
      CutOff cut(step);
      CHECK_THROWS_AS(trained(one, {ignore, &cut}), SystemError);
      CHECK((trained(one, {ignore, nullptr, &cut.kept}) == expected));
    }
  }
}

TEST_CASE("a start outside the training is refused", "[unit]") {
  const std::vector<std::function<void(train::Progress&)>> changes = {
      [](auto& p) { p.step = -1; },      [](auto& p) { p.rows_done = kRows + 1; },
      [](auto& p) { p.rows_done = -5; }, [](auto& p) { p.epoch = 0; },
      [](auto& p) { p.epoch = 6; },      [](auto& p) { p.best = 1; },
      [](auto& p) { p.epochs.clear(); }};
  CutOff cut(4);
  CHECK_THROWS_AS(trained(cases()[0], {ignore, &cut}), SystemError);
  REQUIRE(cut.kept.progress.epochs.size() == 1);
  for (size_t i = 0; i < changes.size(); ++i) {
    INFO(i);
    train::FitStart start = cut.kept;
    changes[i](start.progress);
    CHECK_THROWS_AS(trained(cases()[0], {ignore, nullptr, &start}), DataError);
  }
}

TEST_CASE("the cases of resuming do what they are named for", "[unit]") {
  for (const Case& one : cases()) {
    Perceptron net(2);
    Rows train = source(one, 1), val = source(one, 9);
    SilentReporter silent;
    const auto result = fit(net, train, val, options_of(one), silent, {ignore});
    const std::string name = one.name;
    if (name == "patience") CHECK(result.epochs.size() < 4);
    if (name == "plateau") CHECK(result.epochs.back().learning_rate < 0.3);
  }
}

namespace {

/// Asks to stop in the middle of an update: when it gives its `at`-th batch.
class Stopping : public train::BatchSource {
 public:
  Stopping(Rows rows, int64_t at) : rows_(std::move(rows)), at_(at) {}
  int64_t rows() const override { return rows_.rows(); }
  void start(const std::vector<int64_t>& order, int64_t epoch, int64_t batch_size) override {
    rows_.start(order, epoch, batch_size);
  }
  bool next(train::TrainBatch& batch) override {
    if (--at_ == 0) throw Stopped(ExitCode::kStopped, "stopped");
    return rows_.next(batch);
  }

 private:
  Rows rows_;
  int64_t at_;
};

/// Keeps the last that was saved.
struct Last : train::Checkpointer {
  train::FitStart kept;
  bool is_due() override { return false; }
  void save(const train::Progress& progress, train::Trainee& trainee, const train::Optimizer& optimizer) override {
    kept.progress = progress;
    kept.progress.ema = tensor::snapshot(progress.ema);
    kept.trainee = tensor::snapshot(trainee.state());
    kept.optimizer = tensor::snapshot(optimizer.state());
  }
};

}  // namespace

TEST_CASE("a training that is stopped within an update goes on from before it, to the same bits", "[unit]") {
  for (const Case& one : cases()) {
    const End expected = trained(one, {ignore});
    for (const int64_t at : {1, 2, 3, 4, 8, 11, 60}) {
      INFO(one.name << ", stopped at batch " << at);
      Perceptron net(2);
      Stopping train(source(one, 1), at);
      Rows val = source(one, 9);
      SilentReporter silent;
      Last last;
      try {
        fit(net, train, val, options_of(one), silent, {ignore, &last});
        CHECK(at > static_cast<int64_t>(expected.told.size() / 13) * 3);  // it was done before
        continue;                                                         // and nothing was due
      } catch (const Stopped&) {
      }
      CHECK((trained(one, {ignore, nullptr, &last.kept}) == expected));
    }
  }
}

TEST_CASE("a training that is stopped in validation goes on to the same bits", "[unit]") {
  for (const Case& one : cases()) {
    const End expected = trained(one, {ignore});
    INFO(one.name);
    Perceptron net(2);
    Rows train = source(one, 1);
    Stopping val(source(one, 9), 6);  // of 3 batches an epoch, and one call that ends it
    SilentReporter silent;
    Last last;
    CHECK_THROWS_AS(fit(net, train, val, options_of(one), silent, {ignore, &last}), Stopped);
    CHECK(last.kept.progress.epoch == 2);
    CHECK((trained(one, {ignore, nullptr, &last.kept}) == expected));
  }
}
