#include "train/fit.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "small.h"
#include "train/average.h"

using namespace engraft;
using small::Perceptron;
using small::Rows;
using small::xor_rows;

namespace {

void ignore(const train::EpochRecord&) {}

std::vector<int64_t> in_order(int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

struct Outcome {
  train::FitResult result;
  std::string digest;
};

Outcome learn(const train::FitOptions& options, bool mixes = false) {
  Perceptron net(outputs_of(options.target, 2));
  Rows train = xor_rows(1), val = xor_rows(9);
  train.mixes = mixes;
  SilentReporter silent;
  Outcome out;
  int64_t told = 0;
  out.result = fit(net, train, val, options, silent, {[&](const train::EpochRecord& e) { CHECK(e.epoch == ++told); }});
  CHECK(told == static_cast<int64_t>(out.result.epochs.size()));
  CHECK_FALSE(net.training);
  out.digest = tensor::digest(net.state());
  return out;
}

/// The corners of XOR with two labels each: whether their signs differ, and whether one of them is positive.
Rows xor_or_rows(uint64_t seed) {
  train::TrainBatch all;
  Rows rows = xor_rows(seed);
  rows.start(in_order(rows.rows()), 0, rows.rows());
  rows.next(all);
  const at::Tensor differ = all.labels, is_any = all.inputs.gt(0).any(1);
  return {all.inputs, at::stack({differ.to(at::kFloat), is_any.to(at::kFloat)}, 1)};
}

/// The product of the coordinates of XOR's noisy corners.
Rows product_rows(uint64_t seed) {
  train::TrainBatch all;
  Rows rows = xor_rows(seed);
  rows.start(in_order(rows.rows()), 0, rows.rows());
  rows.next(all);
  return {all.inputs, all.inputs.prod(1, /*keepdim=*/true)};
}

train::FitOptions xor_options(const std::string& optimizer, double rate, int64_t epochs = 40) {
  train::FitOptions options;
  options.epochs = epochs;
  options.batch_size = 20;  // leaves a ragged last batch of 16
  options.optimizer.name = optimizer;
  options.schedule.learning_rate = rate;
  return options;
}

}  // namespace

TEST_CASE("every optimiser learns XOR", "[unit]") {
  struct Row {
    const char* optimizer;
    double rate;
  };
  for (const Row& row :
       {Row{"adamw", 0.02}, Row{"sgd", 0.1}, Row{"rmsprop", 0.01}, Row{"rmsprop_keras", 0.01}, Row{"lbfgs", 1}}) {
    for (const bool sigmoid : {false, true}) {
      INFO(row.optimizer << (sigmoid ? " sigmoid" : " softmax"));
      train::FitOptions options = xor_options(row.optimizer, row.rate);
      options.target = sigmoid ? Target::kSigmoid : Target::kSoftmax;
      const auto fitted = learn(options).result;
      CHECK(fitted.epochs[fitted.best].val_merit == 1.0);
      CHECK(fitted.epochs.back().train_loss < 0.5 * fitted.epochs.front().train_loss);
    }
  }
}

TEST_CASE("XOR is learned with every setting, together and apart", "[unit]") {
  train::FitOptions all = xor_options("sgd", 0.2, 60);
  all.optimizer.nesterov = true;
  all.accumulate = 2;
  all.clip_norm = 1;
  all.ema = 0.9;
  all.label_smoothing = 0.05;
  all.class_weights = {1, 2};
  for (int64_t i = 0; i < 96; ++i) all.balance_by.push_back((i & 1) ^ ((i >> 1) & 1));
  for (const char* shape : {"constant", "cosine", "one_cycle", "step", "plateau"}) {
    INFO(shape);
    all.schedule.shape = shape;
    all.schedule.step_every = 100;
    const auto fitted = learn(all, /*mixes=*/true).result;
    CHECK(fitted.epochs[fitted.best].val_merit == 1.0);
  }
}

TEST_CASE("two labels are learned at once, and the best epoch is that of the highest mean average precision",
          "[unit]") {
  train::FitOptions options = xor_options("adamw", 0.02);
  options.target = Target::kMultiLabel;
  options.class_weights = {1, 2};
  Perceptron net(2);
  Rows train = xor_or_rows(1), val = xor_or_rows(9);
  SilentReporter silent;
  const auto fitted = fit(net, train, val, options, silent, {ignore});
  const train::EpochRecord& best = fitted.epochs[fitted.best];
  REQUIRE(best.val_metrics.size() == 3);
  CHECK(best.val_metrics[0].name == "mean_average_precision");
  CHECK(best.val_metrics[0].value == best.val_merit);
  CHECK(best.val_merit == 1.0);
  CHECK(fitted.epochs.back().val_metrics[2].value == 1.0);  // every row exact
  CHECK(fitted.epochs.back().train_right > 0.9);
  for (const train::EpochRecord& other : fitted.epochs) CHECK(other.val_merit <= best.val_merit);
}

TEST_CASE("a number is learned, told in its own units, and the best epoch is that of the lowest loss", "[unit]") {
  train::FitOptions options = xor_options("adamw", 0.02, 100);
  options.target = Target::kRegression;
  options.scale = {1000, 50};
  Perceptron net(1, /*dropout=*/0);
  Rows train = product_rows(1), val = product_rows(9);
  SilentReporter silent;
  const auto fitted = fit(net, train, val, options, silent, {ignore});
  const train::EpochRecord& best = fitted.epochs[fitted.best];
  for (const train::EpochRecord& other : fitted.epochs) CHECK(best.val_loss <= other.val_loss);
  REQUIRE(best.val_metrics.size() == 3);
  CHECK(best.val_metrics[1].name == "rmse");
  // The loss is in standard deviations, the error in the units of the numbers, both of float32 near 1000.
  CHECK(best.val_metrics[1].value == Approx(50 * std::sqrt(best.val_loss)).epsilon(1e-6));
  CHECK(best.val_metrics[2].value > 0.9);  // r2: XOR itself is known, its noise is not learned in full
  CHECK(best.train_right == 0);
}

TEST_CASE("the same seed gives the same bits, another seed others", "[unit]") {
  train::FitOptions options = xor_options("adamw", 0.02, 5);
  const std::string first = learn(options).digest;
  CHECK(learn(options).digest == first);
  options.seed = 43;
  CHECK(learn(options).digest != first);
}

TEST_CASE("the best epoch is by top1, then loss, then the earlier, and its weights are kept", "[unit]") {
  for (const double ema : {0.0, 0.95}) {
    train::FitOptions options = xor_options("adamw", 0.02);
    options.ema = ema;
    const auto fitted = learn(options).result;
    for (size_t i = 0; i < fitted.epochs.size(); ++i) {
      const auto& best = fitted.epochs[fitted.best];
      const auto& other = fitted.epochs[i];
      CHECK(other.val_merit <= best.val_merit);
      if (other.val_merit == best.val_merit) CHECK((other.val_loss > best.val_loss || i >= fitted.best));
    }
    Perceptron net(2);
    tensor::restore(fitted.best_state, net.state());
    Rows val = xor_rows(9);
    const auto outputs = train::infer(net, val, 7);
    const auto judged = stats::judge({Target::kSoftmax, outputs.logits, outputs.width, outputs.labels, {}, {}});
    CHECK(judged.loss == Approx(fitted.epochs[fitted.best].val_loss).epsilon(1e-6));  // other batches, other rounding
  }
}

TEST_CASE("an epoch is a permutation, another one each time; sources hear its number, and 0 in validation", "[unit]") {
  Perceptron net(2);
  Rows train = xor_rows(1, 40), val = xor_rows(9, 8);
  train::FitOptions options;
  options.epochs = 2;
  options.batch_size = 7;
  SilentReporter silent;
  fit(net, train, val, options, silent, {ignore});
  REQUIRE(train.orders.size() == 80);
  std::vector<int64_t> first(train.orders.begin(), train.orders.begin() + 40);
  std::vector<int64_t> second(train.orders.begin() + 40, train.orders.end());
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  for (int64_t i = 0; i < 40; ++i) CHECK(first[static_cast<size_t>(i)] == i);
  CHECK(train.epochs == std::vector<int64_t>{1, 2});
  CHECK(val.epochs == std::vector<int64_t>{0, 0});
}

TEST_CASE("training stops after so many epochs without a better one", "[unit]") {
  train::EpochRecord good, bad;
  good.val_merit = 0.9;
  bad.val_merit = 0.8;
  CHECK_FALSE(train::is_out_of_patience({}, 1));
  CHECK_FALSE(train::is_out_of_patience({good, bad, bad}, 0));
  CHECK_FALSE(train::is_out_of_patience({good, bad, bad}, 3));
  CHECK(train::is_out_of_patience({good, bad, bad}, 2));
  CHECK_FALSE(train::is_out_of_patience({bad, bad, good}, 1));
  CHECK(train::is_out_of_patience({good, good}, 1));  // as good is not better

  train::FitOptions options = xor_options("adamw", 0.05, 200);
  options.patience = 5;
  const auto fitted = learn(options).result;
  REQUIRE(fitted.epochs.size() < 200);
  CHECK(fitted.epochs.size() == fitted.best + 1 + 5);
}

TEST_CASE("the first update of the first three epochs and of every eighth is measured", "[unit]") {
  train::FitOptions options = xor_options("sgd", 0.1, 17);
  options.optimizer = {"sgd", 0, false, 0};
  const std::set<int64_t> measured = {1, 2, 3, 8, 16};
  for (const auto& epoch : learn(options).result.epochs) {
    if (measured.count(epoch.epoch) == 0) {
      CHECK(epoch.updates.empty());
      continue;
    }
    REQUIRE(epoch.updates.size() == 4);
    CHECK(epoch.updates[0].name == "w1");
    for (const auto& update : epoch.updates) {
      CHECK(update.ratio > 1e-5);
      CHECK(update.ratio < 1);
      CHECK(update.still < 0.05);
    }
  }
  options.schedule.learning_rate = 1e-12;  // far below the distance of neighbouring floats
  for (const auto& update : learn(options).result.epochs[0].updates) {
    CHECK(update.ratio == 0);
    CHECK(update.still == 1);
  }
  const at::Tensor before = at::full({2, 2}, 2.0F), after = before.clone();
  after[0][0] = 5.0F;
  after.mutable_grad() = at::tensor({1.0F, 1.0F, 0.0F, 1.0F}).view({2, 2});
  const auto sizes = train::update_sizes({{"w", before}}, {{"w", after}});
  CHECK(sizes[0].ratio == Approx(0.75));
  CHECK(sizes[0].still == Approx(2.0 / 3));
}

TEST_CASE("a moving average begins quickly and copies what is not floating", "[unit]") {
  CHECK(train::averaging_share(0.999, 0) == Approx(0.1));
  CHECK(train::averaging_share(0.999, 90) == Approx(0.91));
  CHECK(train::averaging_share(0.5, 90) == Approx(0.5));
  const std::vector<tensor::NamedTensor> average = {{"w", at::ones({1})}, {"n", at::zeros({1}, at::kLong)}};
  train::update_average(average, {{"w", at::full({1}, 3.0F)}, {"n", at::full({1}, 7, at::kLong)}}, 0.75);
  CHECK(average[0].value.item<float>() == 1.5F);
  CHECK(average[1].value.item<int64_t>() == 7);
}

TEST_CASE("a loss that is not finite stops the training and says where", "[unit]") {
  for (const char* optimizer : {"adamw", "lbfgs"}) {
    Perceptron net(2);
    net.parameters()[0].value.detach().fill_(std::numeric_limits<float>::quiet_NaN());
    Rows train = xor_rows(1), val = xor_rows(9);
    SilentReporter silent;
    CHECK_THROWS_WITH(fit(net, train, val, xor_options(optimizer, 0.1), silent, {ignore}),
                      Catch::Contains("the loss is nan in stage 1, epoch 1, step 1"));
  }
}

TEST_CASE("a validation that is not finite stops the training before anything is told of it", "[unit]") {
  struct BlindInValidation : Perceptron {
    explicit BlindInValidation(float at) : Perceptron(2), value(at) {}
    at::Tensor outputs(const at::Tensor& x) override {
      return training ? Perceptron::outputs(x) : Perceptron::outputs(x) * 0 + value;
    }
    float value;
  };
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const double ema : {0.0, 0.9}) {
      BlindInValidation net(value);
      Rows train = xor_rows(1), val = xor_rows(9);
      train::FitOptions options = xor_options("adamw", 0.01);
      options.ema = ema;
      int64_t told = 0;
      SilentReporter silent;
      CHECK_THROWS_WITH(fit(net, train, val, options, silent, {[&](const train::EpochRecord&) { ++told; }}),
                        Catch::Contains("the validation loss is nan in stage 1, epoch 1; a lower"));
      CHECK(told == 0);
    }
  }
}

TEST_CASE("a checkpoint is never of weights that are not finite", "[unit]") {
  struct Kept : train::Checkpointer {
    int64_t saves = 0;
    bool is_due() override { return true; }
    void save(const train::Progress&, train::Trainee& trainee, const train::Optimizer&) override {
      for (const auto& item : trainee.state()) CHECK(item.value.isfinite().all().item<bool>());
      ++saves;
    }
  } kept;
  struct Steep : Perceptron {
    Steep() : Perceptron(2) {}
    at::Tensor outputs(const at::Tensor& x) override { return Perceptron::outputs(x) * 1000; }
  } net;
  Rows train = xor_rows(1), val = xor_rows(9);
  train::FitOptions options = xor_options("sgd", 3e38);  // a finite loss, and weights beyond float's range after it
  options.schedule.shape = "constant";
  SilentReporter silent;
  CHECK_THROWS_WITH(fit(net, train, val, options, silent, {ignore, &kept}),
                    Catch::Contains("'w1' is not finite in stage 1, epoch 1, step 1;"));
  CHECK(kept.saves == 0);
  Steep other;
  CHECK_THROWS_WITH(fit(other, train, val, options, silent, {ignore}),  // without checkpoints as well
                    Catch::Contains("is nan in stage 1, epoch 1, step 2;"));
}

TEST_CASE("options out of their ranges are refused", "[unit]") {
  const auto refused = [](const std::function<void(train::FitOptions&)>& change) {
    train::FitOptions options = xor_options("adamw", 0.01, 1);
    change(options);
    Perceptron net(2);
    Rows train = xor_rows(1), val = xor_rows(9);
    SilentReporter silent;
    CHECK_THROWS_AS(fit(net, train, val, options, silent, {ignore}), UsageError);
  };
  refused([](auto& o) { o.accumulate = 0; });
  refused([](auto& o) { o.epochs = int64_t{1} << 61; });
  refused([](auto& o) { o.label_smoothing = 1; });
  refused([](auto& o) { o.ema = 1; });
  refused([](auto& o) { o.clip_norm = -1; });
  refused([](auto& o) { o.balance_by = {0, 1}; });
  refused([](auto& o) { o.class_weights = {1, 1, 1}; });
  refused([](auto& o) { o.schedule.shape = "sawtooth"; });
  refused([](auto& o) {
    o.schedule.shape = "one_cycle";
    o.warmup_epochs = 1;
  });
  refused([](auto& o) {
    o.optimizer.name = "lbfgs";
    o.clip_norm = 1;
  });
}
