#include "train/fit.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "base/random.h"

using namespace engraft;

namespace {

/// One hidden layer of tanh: the least that can learn XOR.
class Perceptron : public train::Trainee {
 public:
  explicit Perceptron(int64_t outputs) {
    RandomStream stream(3, {1});
    const auto draw = [&](std::vector<int64_t> sizes) {
      at::Tensor t = at::empty(sizes, at::kFloat);
      for (int64_t i = 0; i < t.numel(); ++i) t.view({-1})[i] = static_cast<float>(stream.normal());
      return t.set_requires_grad(true);
    };
    parameters_ = {{"w1", draw({16, 2})}, {"b1", draw({16})}, {"w2", draw({outputs, 16})}, {"b2", draw({outputs})}};
  }
  at::Tensor forward(const at::Tensor& x) override {
    at::Tensor h = at::tanh(at::linear(x, parameters_[0].value, parameters_[1].value));
    h = at::dropout(h, 0.1, training);
    return at::linear(h, parameters_[2].value, parameters_[3].value);
  }
  void set_training(bool on) override { training = on; }
  std::vector<tensor::NamedTensor> parameters() override { return parameters_; }
  std::vector<tensor::NamedTensor> state() override { return parameters_; }
  bool training = false;

 private:
  std::vector<tensor::NamedTensor> parameters_;
};

/// Noisy corners of the XOR square.
class Xor : public train::BatchSource {
 public:
  explicit Xor(uint64_t seed, int64_t n = 96) : x_(at::empty({n, 2}, at::kFloat)), y_(at::empty({n}, at::kLong)) {
    RandomStream stream(seed, {2});
    for (int64_t i = 0; i < n; ++i) {
      const int64_t a = i & 1, b = (i >> 1) & 1;
      x_[i][0] = static_cast<float>(2 * a - 1 + 0.2 * stream.normal());
      x_[i][1] = static_cast<float>(2 * b - 1 + 0.2 * stream.normal());
      y_[i] = a ^ b;
    }
  }
  int64_t rows() const override { return x_.size(0); }
  void start(const std::vector<int64_t>& order, int64_t batch_size) override {
    order_ = order;
    batch_ = static_cast<size_t>(batch_size);
    at_ = 0;
  }
  bool next(train::TrainBatch& batch) override {
    if (at_ >= order_.size()) return false;
    const size_t end = std::min(order_.size(), at_ + batch_);
    const at::Tensor rows = at::tensor(std::vector<int64_t>(order_.begin() + static_cast<std::ptrdiff_t>(at_),
                                                            order_.begin() + static_cast<std::ptrdiff_t>(end)),
                                       at::kLong);
    batch = {x_.index_select(0, rows), y_.index_select(0, rows)};
    orders.push_back(order_[at_]);
    at_ = end;
    return true;
  }
  std::vector<int64_t> orders;

 private:
  at::Tensor x_, y_;
  std::vector<int64_t> order_;
  size_t at_ = 0, batch_ = 1;
};

struct Outcome {
  train::FitResult result;
  std::string digest;
};

Outcome learn(const std::string& optimizer, double rate, uint64_t seed = 42, int64_t epochs = 40,
              bool sigmoid = false) {
  Perceptron net(sigmoid ? 1 : 2);
  Xor train(1), val(9);
  train::FitOptions options;
  options.epochs = epochs;
  options.batch_size = 20;  // leaves a ragged last batch of 16
  options.optimizer.name = optimizer;
  options.schedule.learning_rate = rate;
  options.seed = seed;
  options.sigmoid = sigmoid;
  SilentReporter silent;
  Outcome out;
  int64_t told = 0;
  out.result = fit(net, train, val, options, silent, {[&](const train::EpochRecord& e) { CHECK(e.epoch == ++told); }});
  CHECK(told == epochs);
  CHECK_FALSE(net.training);
  out.digest = tensor::digest(net.state());
  return out;
}

}  // namespace

TEST_CASE("every optimiser learns XOR", "[unit]") {
  struct Row {
    const char* optimizer;
    double rate;
  };
  for (const Row& row : {Row{"adamw", 0.02}, Row{"sgd", 0.1}, Row{"rmsprop", 0.01}}) {
    for (const bool sigmoid : {false, true}) {
      INFO(row.optimizer << (sigmoid ? " sigmoid" : " softmax"));
      const auto fitted = learn(row.optimizer, row.rate, 42, 40, sigmoid).result;
      CHECK(fitted.epochs[fitted.best].val_top1 == 1.0);
      CHECK(fitted.epochs.back().train_loss < 0.5 * fitted.epochs.front().train_loss);
    }
  }
}

TEST_CASE("the same seed gives the same bits, another seed others", "[unit]") {
  const std::string first = learn("adamw", 0.02, 42, 5).digest;
  CHECK(learn("adamw", 0.02, 42, 5).digest == first);
  CHECK(learn("adamw", 0.02, 43, 5).digest != first);
}

TEST_CASE("the best epoch is by top1, then loss, then the earlier, and its weights are kept", "[unit]") {
  const auto fitted = learn("adamw", 0.02).result;
  for (size_t i = 0; i < fitted.epochs.size(); ++i) {
    const auto& best = fitted.epochs[fitted.best];
    const auto& other = fitted.epochs[i];
    CHECK(other.val_top1 <= best.val_top1);
    if (other.val_top1 == best.val_top1) CHECK((other.val_loss > best.val_loss || i >= fitted.best));
  }
  Perceptron net(2);
  tensor::restore(fitted.best_state, net.state());
  Xor val(9);
  const auto outputs = train::infer(net, val, 7);
  const auto judged = stats::classify(outputs.logits, outputs.width, outputs.labels);
  CHECK(judged.loss == Approx(fitted.epochs[fitted.best].val_loss).epsilon(1e-6));
}

TEST_CASE("an epoch is a permutation, another one each time", "[unit]") {
  Perceptron net(2);
  Xor train(1, 40), val(9, 8);
  train::FitOptions options;
  options.epochs = 2;
  options.batch_size = 1;
  SilentReporter silent;
  fit(net, train, val, options, silent, {[](const train::EpochRecord&) {}});
  REQUIRE(train.orders.size() == 80);
  std::vector<int64_t> first(train.orders.begin(), train.orders.begin() + 40);
  std::vector<int64_t> second(train.orders.begin() + 40, train.orders.end());
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  for (int64_t i = 0; i < 40; ++i) CHECK(first[static_cast<size_t>(i)] == i);
}

namespace {

/// Keeps a copy of everything after one step, and throws: the training is cut off.
struct CutOff : train::Checkpointer {
  int64_t at_step;
  train::FitStart kept;
  explicit CutOff(int64_t step) : at_step(step) {}
  bool is_due() override { return true; }
  void save(const train::Progress& progress, train::Trainee& trainee, const train::Optimizer& optimizer) override {
    if (progress.step != at_step) return;
    kept.progress = progress;
    kept.trainee = tensor::snapshot(trainee.state());
    kept.optimizer = tensor::snapshot(optimizer.state());
    throw SystemError("cut off");
  }
};

}  // namespace

TEST_CASE("a training that goes on from any step ends in the same bits", "[unit]") {
  for (const char* optimizer : {"adamw", "sgd", "rmsprop"}) {
    Perceptron whole(2);
    train::FitOptions options;
    options.epochs = 3;
    options.batch_size = 20;
    options.optimizer.name = optimizer;
    options.schedule.learning_rate = 0.01;
    options.warmup_epochs = 1;
    SilentReporter silent;
    std::vector<double> losses;
    const auto keep = [&](const train::EpochRecord& e) { losses.push_back(e.val_loss); };
    Xor train(1), val(9);
    const train::FitResult expected = fit(whole, train, val, options, silent, {keep});
    const std::vector<double> expected_losses = losses;
    const int64_t steps = 3 * ((train.rows() + 19) / 20);
    for (int64_t step = 1; step <= steps; ++step) {
      INFO(optimizer << ", cut off after step " << step);
      Perceptron first(2), second(2);
      CutOff cut(step);
      Xor train_again(1), val_again(9);
      losses.clear();
      CHECK_THROWS_AS(fit(first, train_again, val_again, options, silent, {keep, &cut}), SystemError);
      losses.resize(cut.kept.progress.epochs.size());
      Xor train_on(1), val_on(9);
      const train::FitResult resumed = fit(second, train_on, val_on, options, silent, {keep, nullptr, &cut.kept});
      CHECK(tensor::digest(second.state()) == tensor::digest(whole.state()));
      CHECK(tensor::digest(resumed.best_state) == tensor::digest(expected.best_state));
      CHECK(resumed.best == expected.best);
      CHECK(losses == expected_losses);
    }
  }
}

TEST_CASE("an optimiser's state of another shape or name is refused", "[unit]") {
  const at::Tensor weight = at::zeros({2, 3});
  const auto optimizer = train::make_optimizer({"adamw", 0.9, 0}, {{"fc1.weight", weight}});
  CHECK_THROWS_WITH(optimizer->restore({{"fc1.weight/exp_avg", at::zeros({3, 2})}}),
                    Catch::Contains("expected [2, 3]"));
  CHECK_THROWS_WITH(optimizer->restore({{"fc2.weight/exp_avg", at::zeros({2, 3})}}),
                    Catch::Contains("nothing here has a state 'fc2.weight/exp_avg'"));
}

TEST_CASE("a loss that is not finite stops the training and says where", "[unit]") {
  Perceptron net(2);
  net.parameters()[0].value.detach().fill_(std::numeric_limits<float>::quiet_NaN());
  Xor train(1), val(9);
  SilentReporter silent;
  CHECK_THROWS_WITH(fit(net, train, val, {}, silent, {[](const train::EpochRecord&) {}}),
                    Catch::Contains("the loss is nan in stage 1, epoch 1, step 1"));
}

TEST_CASE("an unknown optimiser and nothing to train are refused", "[unit]") {
  Perceptron net(2);
  CHECK_THROWS_AS(train::make_optimizer({"lion", 0, 0}, net.parameters()), UsageError);
  CHECK_THROWS_AS(train::make_optimizer({"sgd", 0, 0}, {}), UsageError);
}
