#include "train/schedule.h"

#include <catch2/catch.hpp>

#include "base/errors.h"
#include "goldens.h"

using namespace engraft;

TEST_CASE("the cosine starts at the peak, halves in the middle and ends near zero", "[unit]") {
  train::Schedule s;
  s.learning_rate = 0.1;
  s.total_steps = 100;
  CHECK(train::rate_at(s, 0) == Approx(0.1));
  CHECK(train::rate_at(s, 50) == Approx(0.05));
  CHECK(train::rate_at(s, 99) < 1e-4);
  CHECK(train::rate_at(s, 100) == Approx(0).margin(1e-12));
}

TEST_CASE("warm-up rises linearly to the peak", "[unit]") {
  train::Schedule s;
  s.shape = "constant";
  s.learning_rate = 1;
  s.warmup_steps = 4;
  s.total_steps = 10;
  CHECK(train::rate_at(s, 0) == Approx(0.25));
  CHECK(train::rate_at(s, 3) == Approx(1));
  CHECK(train::rate_at(s, 9) == Approx(1));
  s.shape = "cosine";
  CHECK(train::rate_at(s, 4) == Approx(1));
  CHECK(train::rate_at(s, 7) == Approx(0.5));
}

namespace {

train::Schedule shaped(const char* shape, int64_t total_steps) {
  train::Schedule s;
  s.shape = shape;
  s.learning_rate = 0.1;
  s.total_steps = total_steps;
  return s;
}

void check_rates(const train::Schedule& s, const std::vector<double>& golden) {
  for (size_t i = 0; i < golden.size(); ++i) {
    INFO(s.shape << ", step " << i);
    // Double arithmetic; PyTorch multiplies step by step where we raise to a power.
    CHECK(train::rate_at(s, static_cast<int64_t>(i)) == Approx(golden[i]).epsilon(1e-12));
  }
}

}  // namespace

TEST_CASE("rates are those of PyTorch's schedulers", "[unit]") {
  check_rates(shaped("one_cycle", 20), goldens::kOneCycle20);
  check_rates(shaped("one_cycle", 3), goldens::kOneCycle3);
  check_rates(shaped("cosine", 10), goldens::kCosine10);
  train::Schedule step = shaped("step", 12);
  step.factor = 0.5;
  step.step_every = 3;
  check_rates(step, goldens::kStep);
}

TEST_CASE("a plateau is reduced when PyTorch reduces it", "[unit]") {
  const std::vector<std::vector<int64_t>> by_patience = {goldens::kPlateau0, goldens::kPlateau1, goldens::kPlateau2};
  for (size_t patience = 0; patience < by_patience.size(); ++patience) {
    std::vector<double> losses;
    CHECK(train::plateau_reductions(losses, static_cast<int64_t>(patience)) == 0);
    for (size_t i = 0; i < goldens::kPlateauLosses.size(); ++i) {
      losses.push_back(goldens::kPlateauLosses[i]);
      CHECK(train::plateau_reductions(losses, static_cast<int64_t>(patience)) == by_patience[patience][i]);
    }
  }
  train::Schedule s = shaped("plateau", 10);
  s.factor = 0.5;
  CHECK(train::rate_at(s, 7, 0) == Approx(0.1));
  CHECK(train::rate_at(s, 7, 3) == Approx(0.0125));
}

TEST_CASE("warm-up goes before step and plateau; one_cycle takes none", "[unit]") {
  train::Schedule s = shaped("step", 20);
  s.warmup_steps = 4;
  s.step_every = 5;
  CHECK(train::rate_at(s, 1) == Approx(0.05));
  CHECK(train::rate_at(s, 8) == Approx(0.1));
  CHECK(train::rate_at(s, 9) == Approx(0.01));
  s.shape = "one_cycle";
  CHECK_THROWS_AS(train::rate_at(s, 0), UsageError);
  s.shape = "sawtooth";
  CHECK_THROWS_AS(train::rate_at(s, 9), UsageError);
  s.shape = "step";
  s.step_every = 0;
  CHECK_THROWS_AS(train::rate_at(s, 9), UsageError);
}

TEST_CASE("no schedule gives a negative rate or one above its peak, at any length", "[unit]") {
  for (const char* shape : {"constant", "cosine", "one_cycle", "step", "plateau"}) {
    for (const int64_t total : {1, 2, 3, 4, 7, 100}) {
      const train::Schedule s = shaped(shape, total);
      for (int64_t step = 0; step < total + 2; ++step) {
        INFO(shape << ", step " << step << " of " << total);
        CHECK(train::rate_at(s, step) >= 0);
        CHECK(train::rate_at(s, step) <= 0.1 + 1e-12);
      }
    }
  }
}
