#include "train/schedule.h"

#include <algorithm>
#include <cmath>

namespace engraft::train {

double rate_at(const Schedule& s, int64_t step) {
  if (step < s.warmup_steps) {
    return s.learning_rate * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  }
  if (s.shape == "constant") return s.learning_rate;
  const int64_t remaining = std::max<int64_t>(1, s.total_steps - s.warmup_steps);
  const double t = std::min(1.0, static_cast<double>(step - s.warmup_steps) / static_cast<double>(remaining));
  constexpr double kPi = 3.14159265358979323846;
  return s.learning_rate * (1 + std::cos(kPi * t)) / 2;
}

}  // namespace engraft::train
