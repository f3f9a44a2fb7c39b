#include "stats/judgement.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "goldens.h"
#include "stats/multi_label.h"
#include "stats/regression.h"

using namespace engraft;

namespace {

std::vector<float> floats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

double metric(const stats::Judgement& judged, const std::string& name) {
  for (const stats::Metric& item : judged.metrics) {
    if (item.name == name) return item.value;
  }
  return std::nan("");
}

// Sums of a few dozen doubles in another order: some units in the last place, times the size of what is summed.
Approx near(double value) { return Approx(value).epsilon(1e-12); }

}  // namespace

TEST_CASE("multi-label metrics are scikit-learn's, ties and a class that holds nowhere among them", "[unit]") {
  const stats::MultiLabel judged = stats::judge_labels(floats(goldens::kLogits), goldens::kClasses, goldens::kHolds);
  CHECK(judged.rows == 40);
  CHECK(judged.loss == near(goldens::kMultiLabel[0]));
  CHECK(judged.mean_average_precision == near(goldens::kMultiLabel[1]));
  CHECK(judged.micro_f1 == near(goldens::kMultiLabel[2]));
  CHECK(judged.exact_match == near(goldens::kMultiLabel[3]));
  size_t next = 0;
  for (int64_t k = 0; k < goldens::kClasses; ++k) {
    INFO("class " << k);
    const stats::LabelResult& label = judged.classes[static_cast<size_t>(k)];
    CHECK(label.average_precision.has_value() == (k != goldens::kFalseClass));
    if (label.average_precision) CHECK(*label.average_precision == near(goldens::kAveragePrecision[next++]));
  }
}

TEST_CASE("average precision of a small case by hand", "[unit]") {
  // Downwards: holds, not, holds. Steps of 1/2 at precisions 1 and 2/3.
  CHECK(*stats::average_precision({0.1f, 0.9f, 0.5f}, {1, 1, 0}) == Approx(0.5 * 1 + 0.5 * 2 / 3));
  // One score for all: one step to recall 1 at the share that holds.
  CHECK(*stats::average_precision({2, 2, 2, 2}, {1, 0, 0, 0}) == 0.25);
  CHECK_FALSE(stats::average_precision({1, 2}, {0, 0}));
}

TEST_CASE("a class is predicted from a score of one half on", "[unit]") {
  const stats::MultiLabel judged = stats::judge_labels({0.0f, -0.0001f, 1.0f, -1.0f}, 2, {1, 0, 0, 0});
  CHECK(judged.classes[0].predicted == 2);
  CHECK(judged.classes[0].right == 1);
  CHECK(judged.classes[1].predicted == 0);
  CHECK(judged.exact_match == 0.5);
  CHECK(judged.micro_f1 == Approx(2.0 / 3));
  const std::vector<float> logits = {0.0f, -1e-30f, 7.0f};
  CHECK(stats::predicted_labels(logits.data(), 3) == std::vector<int64_t>{0, 2});
  CHECK(stats::label_scores(std::vector<float>{0.0f, std::log(3.0f), -800.0f}.data(), 3) ==
        std::vector<double>{0.5, 1 / (1 + std::exp(-static_cast<double>(std::log(3.0f)))), 0.0});
}

TEST_CASE("where nothing holds and nothing is predicted, all rows are right and nothing divides by zero", "[unit]") {
  const stats::MultiLabel judged = stats::judge_labels({-1, -2, -3, -4}, 2, {0, 0, 0, 0});
  CHECK(judged.exact_match == 1);
  CHECK(judged.micro_f1 == 0);
  CHECK(judged.mean_average_precision == 0);
  CHECK(stats::judge_labels({}, 3, {}).classes.size() == 3);
}

TEST_CASE("regression metrics are scikit-learn's", "[unit]") {
  const stats::Regression judged = stats::judge_numbers(floats(goldens::kPredicted), goldens::kValues);
  CHECK(judged.mean_absolute_error == near(goldens::kRegression[0]));
  CHECK(judged.root_mean_squared_error == near(goldens::kRegression[1]));
  REQUIRE(judged.r2);
  CHECK(*judged.r2 == near(goldens::kRegression[2]));
  const TargetScale scale = stats::scale_of(goldens::kValues);
  CHECK(scale.mean == near(goldens::kSpread[0]));
  CHECK(scale.std == near(goldens::kSpread[1]));
}

TEST_CASE("values that are all the same have no spread, to the bit, and no r2", "[unit]") {
  const std::vector<double> same(7, 0.1);  // 7 · 0.1 / 7 is not 0.1
  CHECK(stats::scale_of(same).mean == 0.1);
  CHECK(stats::scale_of(same).std == 0);
  CHECK_FALSE(stats::judge_numbers(std::vector<float>(7, 1.0f), same).r2);
  CHECK(stats::judge_numbers({}, {}).root_mean_squared_error == 0);
}

TEST_CASE("each target is judged by its own metrics, the one that decides first", "[unit]") {
  stats::Answers answers;
  answers.outputs = {2, 1, 0, 3};
  answers.width = 2;
  answers.labels = {0, 0};
  const stats::Judgement classes = stats::judge(answers);
  CHECK(classes.metrics.size() == 1);
  CHECK(classes.merit == 0.5);
  CHECK(metric(classes, "top1") == 0.5);

  answers.target = Target::kMultiLabel;
  answers.values = {1, 0, 0, 1};
  const stats::Judgement labels = stats::judge(answers);
  CHECK(labels.merit == 1);
  CHECK(labels.metrics.front().name == "mean_average_precision");
  CHECK(metric(labels, "exact_match") == 0);
  CHECK(metric(labels, "micro_f1") == Approx(2.0 * 2 / (2 + 4)));

  answers.target = Target::kRegression;
  answers.outputs = {10, 30};
  answers.width = 1;
  answers.values = {20, 40};
  answers.scale = {25, 5};
  const stats::Judgement numbers = stats::judge(answers);
  CHECK(numbers.merit == 0);
  CHECK(numbers.loss == Approx(4));  // off by two standard deviations
  CHECK(metric(numbers, "mae") == 10);
  CHECK(metric(numbers, "rmse") == 10);
  CHECK(metric(numbers, "r2") == Approx(1 - 200.0 / 200));
  answers.values = {20, 20};
  CHECK(std::isnan(metric(stats::judge(answers), "r2")));
}

TEST_CASE("metrics read as a person says them", "[unit]") {
  CHECK(stats::metric_text("top1", 0.97254) == "top1 97.25 %");
  CHECK(stats::metric_text("mean_average_precision", 1) == "mAP 100.00 %");
  CHECK(stats::metric_text("mae", 3.21449) == "mae 3.214");
  CHECK(stats::metric_text("rmse", 12345.6) == "rmse 12346");
  CHECK(stats::metric_text("r2", -0.012345) == "r2 -0.01235");
  CHECK(stats::metric_text("r2", 0) == "r2 0");
  CHECK(stats::metrics_text({{"micro_f1", 0.5}, {"exact_match", 0.25}}) == "micro-F1 50.00 %, exact match 25.00 %");
}
