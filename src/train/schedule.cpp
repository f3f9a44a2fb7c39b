#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "base/text.h"

namespace engraft::train {

namespace {

constexpr double kPi = 3.14159265358979323846;

double cosine_rate(const Schedule& s, int64_t step) {
  const int64_t remaining = std::max<int64_t>(1, s.total_steps - s.warmup_steps);
  const double t = std::min(1.0, static_cast<double>(step - s.warmup_steps) / static_cast<double>(remaining));
  return s.learning_rate * (1 + std::cos(kPi * t)) / 2;
}

double between(double from, double to, double share) { return to + (from - to) / 2 * (1 + std::cos(kPi * share)); }

double one_cycle_rate(const Schedule& s, int64_t step) {
  constexpr double kRise = 0.3, kFirst = 25, kLast = 25 * 1e4;
  const auto total = static_cast<double>(s.total_steps);
  const double at = std::min(static_cast<double>(step), total - 1), top = kRise * total - 1;
  if (at <= top) return between(s.learning_rate / kFirst, s.learning_rate, top > 0 ? at / top : 1);
  return between(s.learning_rate, s.learning_rate / kLast, (at - top) / (total - 1 - top));
}

double step_rate(const Schedule& s, int64_t step) {
  if (s.step_every < 1)
    throw UsageError(text::cat("schedule step: expected steps of at least 1, found ", s.step_every));
  const int64_t times = (step - s.warmup_steps) / s.step_every;
  return s.learning_rate * std::pow(s.factor, static_cast<double>(times));
}

double plateau_rate(const Schedule& s, int64_t reductions) {
  return s.learning_rate * std::pow(s.factor, static_cast<double>(reductions));
}

}  // namespace

double rate_at(const Schedule& s, int64_t step, int64_t reductions) {
  if (s.shape == "one_cycle" && s.warmup_steps > 0) {
    throw UsageError("schedule one_cycle: takes no warm-up, it rises by itself");
  }
  if (step < s.warmup_steps) {
    const double peak = s.shape == "plateau" ? plateau_rate(s, reductions) : s.learning_rate;
    return peak * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  }
  if (s.shape == "constant") return s.learning_rate;
  if (s.shape == "cosine") return cosine_rate(s, step);
  if (s.shape == "one_cycle") return one_cycle_rate(s, step);
  if (s.shape == "step") return step_rate(s, step);
  if (s.shape == "plateau") return plateau_rate(s, reductions);
  throw UsageError("schedule: must be one of constant, cosine, one_cycle, step, plateau, not '" + s.shape + "'");
}

int64_t plateau_reductions(const std::vector<double>& val_losses, int64_t patience) {
  constexpr double kThreshold = 1e-4;
  double best = std::numeric_limits<double>::infinity();
  int64_t reductions = 0, bad_epochs = 0;
  for (const double loss : val_losses) {
    if (loss < best * (1 - kThreshold)) {
      best = loss;
      bad_epochs = 0;
    } else if (++bad_epochs > patience) {
      ++reductions;
      bad_epochs = 0;
    }
  }
  return reductions;
}

}  // namespace engraft::train
