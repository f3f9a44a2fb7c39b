#include "train/schedule.h"

#include <catch2/catch.hpp>

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
