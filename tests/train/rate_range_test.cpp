#include "train/rate_range.h"

#include <catch2/catch.hpp>
#include <limits>

#include "small.h"

using namespace engraft;
using small::Perceptron;
using small::Rows;
using small::xor_rows;

namespace {

/// Two clouds that overlap: no rate brings the loss to 0, and one that is too high keeps it up.
Rows clouds(uint64_t seed) {
  const at::Tensor x = at::empty({96, 2}, at::kFloat), y = at::empty({96}, at::kLong);
  RandomStream stream(seed, {2});
  for (int64_t i = 0; i < 96; ++i) {
    x[i][0] = static_cast<float>(2 * (i & 1) - 1 + stream.normal());
    x[i][1] = static_cast<float>(stream.normal());
    y[i] = i & 1;
  }
  return {x, y};
}

train::FitOptions options_of(const std::string& optimizer) {
  train::FitOptions options;
  options.batch_size = 16;
  options.optimizer = {optimizer, {}, false, 0};
  return options;
}

train::RateRange range_of(const train::FitOptions& options, const train::RangeOptions& range = {}) {
  Perceptron net(2);
  Rows train = xor_rows(1);
  SilentReporter silent;
  return range_test(net, train, options, range, silent);
}

/// The training loss after 30 epochs at a constant rate; infinity where it ran away.
double loss_at(train::FitOptions options, double rate) {
  Perceptron net(2);
  Rows train = clouds(options.seed), val = clouds(9);
  options.epochs = 30;
  options.schedule.shape = "constant";
  options.schedule.learning_rate = rate;
  SilentReporter silent;
  try {
    return fit(net, train, val, options, silent, {[](const train::EpochRecord&) {}}).epochs.back().train_loss;
  } catch (const ModelError&) {
    return std::numeric_limits<double>::infinity();
  }
}

}  // namespace

TEST_CASE("the suggested rate trains, a hundred times it does not", "[unit]") {
  for (const char* optimizer : {"sgd", "adamw", "rmsprop", "rmsprop_keras"}) {
    for (const uint64_t seed : {1, 2, 3}) {
      train::FitOptions options = options_of(optimizer);
      options.seed = seed;
      Perceptron net(2);
      Rows train = clouds(seed);
      SilentReporter silent;
      const train::RateRange range = range_test(net, train, options, {}, silent);
      const double start = loss_at(options, 1e-12), good = loss_at(options, range.steepest);
      const double bad = loss_at(options, 100 * range.steepest);
      INFO(optimizer << ", seed " << seed << ": suggested " << range.steepest << ", below the best " << range.below_best
                     << "; losses " << start << ", " << good << ", at a hundred times " << bad);
      CHECK(good < 0.7 * start);
      CHECK(good < 0.42);  // the clouds' own is about 0.35
      CHECK(bad > 1.4 * good);
      CHECK(loss_at(options, range.below_best) < 0.5);
    }
  }
}

TEST_CASE("rates rise exponentially from the lowest to the highest unless the loss runs away", "[unit]") {
  const train::RateRange range = range_of(options_of("adamw"), {1e-6, 1e-3, 31});
  REQUIRE(range.points.size() == 31);
  CHECK(range.points.front().learning_rate == Approx(1e-6));
  CHECK(range.points[10].learning_rate == Approx(1e-5));
  CHECK(range.points.back().learning_rate == Approx(1e-3));
  // The first rates hardly move anything: the mean of all batches, 96 rows in 6 of 16, whatever each batch gives.
  double mean = 0;
  for (size_t i = 0; i < 6; ++i) mean += range.points[i].loss / 6;
  for (size_t i = 0; i < 6; ++i) CHECK(range.points[i].smoothed == Approx(mean).epsilon(1e-3));

  const train::RateRange wild = range_of(options_of("sgd"), {1e-3, 1e6, 60});
  REQUIRE(wild.points.size() < 60);
  double lowest = wild.points.front().smoothed;
  for (size_t i = 0; i + 1 < wild.points.size(); ++i) {
    CHECK(wild.points[i].smoothed <= 4 * lowest);
    lowest = std::min(lowest, wild.points[i].smoothed);
  }
}

TEST_CASE("the trainee is left as it was, to the bit", "[unit]") {
  Perceptron net(2);
  Rows train = xor_rows(1);
  SilentReporter silent;
  const std::string before = tensor::digest(net.state());
  range_test(net, train, options_of("sgd"), {1e-3, 1e6, 60}, silent);
  CHECK(tensor::digest(net.state()) == before);
  CHECK_FALSE(net.training);
  for (const auto& item : net.parameters()) CHECK_FALSE(item.value.grad().defined());
  CHECK(train.epochs.size() > 1);  // 60 steps of 16 go round 96 rows more than once

  Rows wrong = xor_rows(1, 40);
  train::FitOptions options = options_of("adamw");
  options.balance_by = {0};
  CHECK_THROWS_AS(range_test(net, wrong, options, {}, silent), UsageError);
  CHECK(tensor::digest(net.state()) == before);
}

TEST_CASE("a range of rates that is none is refused", "[unit]") {
  CHECK_THROWS_AS(range_of(options_of("lbfgs")), UsageError);
  CHECK_THROWS_AS(range_of(options_of("sgd"), {0, 1.0, 100}), UsageError);
  CHECK_THROWS_AS(range_of(options_of("sgd"), {1, 0.1, 100}), UsageError);
  CHECK_THROWS_AS(range_of(options_of("sgd"), {1e-7, 1.0, 9}), UsageError);
}
