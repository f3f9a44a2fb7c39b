#include "train/loss.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "goldens.h"
#include "small.h"

using namespace engraft;

namespace {

train::TrainBatch batch_of(const std::vector<int64_t>& labels, const std::vector<int64_t>& other) {
  train::TrainBatch batch;
  batch.labels = at::tensor(labels, at::kLong);
  if (other.empty()) return batch;
  batch.other_labels = at::tensor(other, at::kLong);
  batch.shares = small::tensor_of(goldens::kShares, {5});
  return batch;
}

/// Labels of multi-label and regression, [5, …].
train::TrainBatch numbers_of(const std::vector<double>& values, const std::vector<double>& other) {
  train::TrainBatch batch;
  batch.labels = small::tensor_of(values, {5, -1});
  if (other.empty()) return batch;
  batch.other_labels = small::tensor_of(other, {5, -1});
  batch.shares = small::tensor_of(goldens::kShares, {5});
  return batch;
}

/// The loss and its gradient by the logits.
std::vector<double> value_and_gradient(const train::TrainBatch& batch, const train::LossOptions& options) {
  const std::vector<double>& values = outputs_of(options.target, 3) == 1 ? goldens::kBinaryLogits : goldens::kLogits;
  const at::Tensor logits = small::tensor_of(values, {5, -1}).set_requires_grad(true);
  const at::Tensor loss = loss_of(logits, batch, options);
  loss.backward();
  return small::flat({{"loss", loss}, {"gradient", logits.grad()}});
}

constexpr double kRounding = 5e-7;  // some units in the last place of float32 values up to 2

}  // namespace

TEST_CASE("softmax losses and their gradients are PyTorch's", "[unit]") {
  struct Row {
    const char* name;
    bool is_mixed;
    train::LossOptions options;
    const std::vector<double>& golden;
  };
  const std::vector<Row> rows = {
      {"plain", false, {Target::kSoftmax, 0, {}}, goldens::kSoftmaxPlain},
      {"smoothed", false, {Target::kSoftmax, 0.1, {}}, goldens::kSoftmaxSmoothed},
      {"weighted", false, {Target::kSoftmax, 0, goldens::kClassWeights}, goldens::kSoftmaxWeighted},
      {"weighted and smoothed",
       false,
       {Target::kSoftmax, 0.1, goldens::kClassWeights},
       goldens::kSoftmaxWeightedSmoothed},
      {"mixed", true, {Target::kSoftmax, 0, {}}, goldens::kSoftmaxMixed},
      {"mixed and smoothed", true, {Target::kSoftmax, 0.1, {}}, goldens::kSoftmaxMixedSmoothed},
      {"mixed and weighted", true, {Target::kSoftmax, 0, goldens::kClassWeights}, goldens::kSoftmaxMixedWeighted},
  };
  for (const Row& row : rows) {
    INFO(row.name);
    const auto batch = batch_of(goldens::kLabels, row.is_mixed ? goldens::kOtherLabels : std::vector<int64_t>());
    CHECK(small::furthest(value_and_gradient(batch, row.options), row.golden) < kRounding);
  }
}

TEST_CASE("sigmoid losses and their gradients are PyTorch's", "[unit]") {
  const auto plain = batch_of(goldens::kBinaryLabels, {});
  const auto mixed = batch_of(goldens::kBinaryLabels, goldens::kBinaryOther);
  CHECK(small::furthest(value_and_gradient(plain, {Target::kSigmoid, 0, {}}), goldens::kSigmoidPlain) < kRounding);
  CHECK(small::furthest(value_and_gradient(plain, {Target::kSigmoid, 0.2, {}}), goldens::kSigmoidSmoothed) < kRounding);
  CHECK(small::furthest(value_and_gradient(plain, {Target::kSigmoid, 0, goldens::kBinaryWeights}),
                        goldens::kSigmoidWeighted) < kRounding);
  CHECK(small::furthest(value_and_gradient(mixed, {Target::kSigmoid, 0, {}}), goldens::kSigmoidMixed) < kRounding);
}

TEST_CASE("multi-label losses and their gradients are PyTorch's", "[unit]") {
  constexpr Target kTarget = Target::kMultiLabel;
  const auto plain = numbers_of(goldens::kHolds, {});
  const auto mixed = numbers_of(goldens::kHolds, goldens::kOtherHolds);
  const std::vector<double>& weights = goldens::kClassWeights;
  CHECK(small::furthest(value_and_gradient(plain, {kTarget, 0, {}}), goldens::kMultiLabelPlain) < kRounding);
  CHECK(small::furthest(value_and_gradient(plain, {kTarget, 0.2, {}}), goldens::kMultiLabelSmoothed) < kRounding);
  CHECK(small::furthest(value_and_gradient(plain, {kTarget, 0, weights}), goldens::kMultiLabelWeighted) < kRounding);
  CHECK(small::furthest(value_and_gradient(mixed, {kTarget, 0, weights}), goldens::kMultiLabelMixedWeighted) <
        kRounding);
}

TEST_CASE("regression's loss and its gradient are PyTorch's", "[unit]") {
  constexpr Target kTarget = Target::kRegression;
  const auto plain = numbers_of(goldens::kNumbers, {});
  const auto mixed = numbers_of(goldens::kNumbers, goldens::kOtherNumbers);
  // Squared errors up to 16: their units in the last place are that much larger.
  CHECK(small::furthest(value_and_gradient(plain, {kTarget, 0, {}}), goldens::kRegressionPlain) < 2 * kRounding);
  CHECK(small::furthest(value_and_gradient(mixed, {kTarget, 0, {}}), goldens::kRegressionMixed) < 2 * kRounding);
  CHECK_THROWS_WITH(value_and_gradient(plain, {kTarget, 0.1, {}}), Catch::Contains("regression has no classes"));
  CHECK_THROWS_WITH(value_and_gradient(plain, {kTarget, 0, {1}}), Catch::Contains("regression has no classes"));
}

TEST_CASE("what a teacher adds to the loss, and its gradient, are PyTorch's", "[unit]") {
  const at::Tensor lessons = small::tensor_of(goldens::kLessons, {5, 3});
  const auto value_and_gradient_of = [&](const train::TeacherLoss& options) {
    const at::Tensor given = small::tensor_of(goldens::kLogits, {5, 3}).set_requires_grad(true);
    const at::Tensor loss = train::teacher_loss(given, lessons, options);
    loss.backward();
    return small::flat({{"loss", loss}, {"gradient", given.grad()}});
  };
  CHECK(small::furthest(value_and_gradient_of({true, 1, 4}), goldens::kTeacherLogits) < kRounding);
  CHECK(small::furthest(value_and_gradient_of({false, 1, 4}), goldens::kTeacherEmbeddings) < kRounding);
}

TEST_CASE("a batch of rows without a weight has a loss of 0 and no gradient", "[unit]") {
  const auto batch = batch_of({0, 0, 0, 0, 0}, {});
  for (const double value : value_and_gradient(batch, {Target::kSoftmax, 0, {0, 1, 1}})) CHECK(value == 0);
}

TEST_CASE("another number of class weights is refused", "[unit]") {
  const auto batch = batch_of(goldens::kLabels, {});
  CHECK_THROWS_WITH(value_and_gradient(batch, {Target::kSoftmax, 0, {1, 1}}),
                    Catch::Contains("expected 3") && Catch::Contains("found 2"));
  CHECK_THROWS_AS(value_and_gradient(batch_of(goldens::kBinaryLabels, {}), {Target::kSigmoid, 0, {1, 1, 1}}),
                  UsageError);
}

TEST_CASE("the losses of several networks are what each has by itself", "[unit]") {
  at::manual_seed(5);
  struct Case {
    Target target;
    int64_t outputs;
    double smoothing;
    std::vector<double> weights;
  };
  const std::vector<Case> cases = {{Target::kSoftmax, 4, 0, {}},    {Target::kSoftmax, 4, 0.1, {1, 0.5, 2, 0}},
                                   {Target::kSigmoid, 1, 0, {}},    {Target::kSigmoid, 1, 0.2, {3, 0.5}},
                                   {Target::kMultiLabel, 3, 0, {}}, {Target::kMultiLabel, 3, 0.1, {1, 2, 3}},
                                   {Target::kRegression, 1, 0, {}}};
  for (const Case& c : cases) {
    INFO(to_text(c.target) << " " << c.smoothing);
    const at::Tensor logits = 3 * at::randn({7, 5, c.outputs});
    train::TrainBatch batch;
    if (c.target == Target::kMultiLabel) {
      batch.labels = at::randint(0, 2, {7, c.outputs}).to(at::kFloat);
    } else if (c.target == Target::kRegression) {
      batch.labels = at::randn({7, 1});
    } else {
      batch.labels = at::randint(0, c.target == Target::kSigmoid ? 2 : c.outputs, {7}, at::kLong);
    }
    const train::LossOptions options{c.target, c.smoothing, c.weights, {}};
    const at::Tensor losses = train::losses_of(logits, batch, options);
    const at::Tensor right = train::counts_right(logits, batch, c.target);
    REQUIRE(losses.sizes() == at::IntArrayRef({5}));
    for (int64_t t = 0; t < 5; ++t) {
      const at::Tensor own = logits.select(1, t).contiguous();
      CHECK(losses[t].item<double>() == Approx(train::loss_of(own, batch, options).item<double>()).epsilon(1e-5));
      CHECK(right[t].item<int64_t>() == train::count_right(own, batch, c.target));
    }
  }
}

TEST_CASE("rows are counted right by their label, mixed ones by the larger share", "[unit]") {
  // The highest logits are of classes 0 1 2 0 2.
  const at::Tensor logits = small::tensor_of(goldens::kLogits, {5, 3});
  CHECK(train::count_right(logits, batch_of({0, 1, 2, 1, 2}, {}), Target::kSoftmax) == 4);
  // Shares 0.75 0.5 1 0.125 0.25: the first three count by their label, the others by the other.
  CHECK(train::count_right(logits, batch_of({0, 1, 2, 1, 1}, {1, 0, 0, 0, 2}), Target::kSoftmax) == 5);
  CHECK(train::count_right(logits, batch_of({1, 0, 0, 0, 2}, {0, 1, 2, 1, 1}), Target::kSoftmax) == 0);
  const at::Tensor single = small::tensor_of(goldens::kBinaryLogits, {5, 1});  // signs + - + - 0
  CHECK(train::count_right(single, batch_of({1, 0, 1, 0, 0}, {}), Target::kSigmoid) == 5);

  // The classes at or above 0 are 0 2, 0 1, 1 2, 0 2, 0 1 2.
  const std::vector<double> holds = {1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  CHECK(train::count_right(logits, numbers_of(holds, {}), Target::kMultiLabel) == 4);
  const std::vector<double> none(15, 0);
  CHECK(train::count_right(logits, numbers_of(holds, none), Target::kMultiLabel) == 3);
  CHECK(train::count_right(single, numbers_of(goldens::kNumbers, {}), Target::kRegression) == 0);
}
