#include "train/updates.h"

#include <catch2/catch.hpp>
#include <limits>

#include "goldens.h"
#include "small.h"

using namespace engraft;
using small::Rows;

namespace {

void ignore(const train::EpochRecord&) {}

/// Softmax regression on the goldens' problem.
class Regression : public train::Trainee {
 public:
  Regression()
      : parameters_{{"w", small::tensor_of(goldens::kWeight, {3, 2}).set_requires_grad(true)},
                    {"b", small::tensor_of(goldens::kBias, {3}).set_requires_grad(true)}} {}
  at::Tensor outputs(const at::Tensor& x) override { return at::linear(x, parameters_[0].value, parameters_[1].value); }
  void set_training(bool) override {}
  std::vector<tensor::NamedTensor> parameters() override { return parameters_; }
  std::vector<tensor::NamedTensor> state() override { return parameters_; }

 private:
  std::vector<tensor::NamedTensor> parameters_;
};

Rows regression_rows() { return {small::tensor_of(goldens::kInputs, {5, 2}), at::tensor(goldens::kLabels, at::kLong)}; }

/// As whole_loop() of goldens.py.
train::FitOptions loop_options() {
  train::FitOptions options;
  options.epochs = 8;
  options.batch_size = 5;
  options.optimizer = {"sgd", 0.9, true, 0};
  options.schedule.shape = "one_cycle";
  options.schedule.learning_rate = 1;
  options.clip_norm = 0.3;
  return options;
}

std::vector<double> weights_after(const train::FitOptions& options) {
  Regression net;
  Rows train = regression_rows(), val = regression_rows();
  SilentReporter silent;
  fit(net, train, val, options, silent, {ignore});
  return small::flat(net.state());
}

}  // namespace

TEST_CASE("the loop gives PyTorch's weights: Nesterov, one cycle, clipped gradients, moving average", "[unit]") {
  constexpr double kTolerance = 2e-6;  // another order of the rows in the sums, over eight steps in float32
  train::FitOptions options = loop_options();
  CHECK(small::furthest(weights_after(options), goldens::kLoopRaw) < kTolerance);
  options.ema = 0.9;
  CHECK(small::furthest(weights_after(options), goldens::kLoopAveraged) < kTolerance);
  options.clip_norm = 0;
  CHECK(small::furthest(weights_after(options), goldens::kLoopAveraged) > 1e-2);  // the clipping had its part
}

TEST_CASE("batches that share an update give the update of all their rows", "[unit]") {
  train::FitOptions options = loop_options();
  options.schedule.shape = "constant";
  const std::vector<double> whole = weights_after(options);
  for (const int64_t batch_size : {1, 2, 3, 4}) {  // of 5 rows: 1 to 5 batches, but for 1 the last is ragged
    options.batch_size = batch_size;
    options.accumulate = 5;
    CHECK(small::furthest(weights_after(options), whole) < 2e-6);  // rounding of sums taken in parts
    options.accumulate = 1;
    CHECK(small::furthest(weights_after(options), whole) > 1e-2);
  }
}

TEST_CASE("a last group of fewer batches counts by its own rows", "[unit]") {
  // Epochs of groups of 4 and 1 rows, as 2 + 2 and 1, or as 4 and 1: the same updates.
  train::FitOptions options = loop_options();
  options.schedule.shape = "constant";
  options.batch_size = 4;
  const std::vector<double> at_once = weights_after(options);
  options.batch_size = 2;
  options.accumulate = 2;
  CHECK(small::furthest(weights_after(options), at_once) < 2e-6);
}

TEST_CASE("an update of more batches than can be counted takes all rows", "[unit]") {
  train::FitOptions options = loop_options();
  options.batch_size = 2;
  options.accumulate = 3;
  const std::vector<double> expected = weights_after(options);
  options.accumulate = std::numeric_limits<int64_t>::max();
  CHECK(weights_after(options) == expected);
}

TEST_CASE("a gradient of no finite length is an error where it is clipped", "[unit]") {
  struct Steep : Regression {
    /// The root of nothing, whose slope is infinite, is added to the first logit.
    at::Tensor outputs(const at::Tensor& x) override {
      const at::Tensor weight = parameters()[0].value;
      return Regression::outputs(x) + at::sqrt(weight - weight.detach()).sum() * at::tensor({1.0F, 0.0F, 0.0F});
    }
  } net;
  Rows train = regression_rows(), val = regression_rows();
  train::FitOptions options = loop_options();
  SilentReporter silent;
  CHECK_THROWS_WITH(fit(net, train, val, options, silent, {ignore}),
                    Catch::Contains("the gradient's length is inf in stage 1, epoch 1, step 1"));
}
