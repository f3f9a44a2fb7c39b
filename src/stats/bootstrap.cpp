#include "stats/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "base/random.h"
#include "base/stop.h"

namespace engraft::stats {

namespace {

// What is drawn, the first word of a stream's key.
constexpr uint64_t kRows = 1, kRepetitions = 2;

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// How often each of `n` is drawn in n draws with replacement.
void draw_counts(RandomStream& stream, std::vector<double>& counts) {
  std::fill(counts.begin(), counts.end(), 0.0);
  for (size_t i = 0; i < counts.size(); ++i) counts[stream.below(counts.size())] += 1;
}

/// Between the two values next to it, as NumPy's percentile.
double quantile(std::vector<double>& values, double share) {
  const double place = share * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<std::ptrdiff_t>(std::floor(place));
  std::nth_element(values.begin(), values.begin() + lower, values.end());
  const double low = values[static_cast<size_t>(lower)];
  if (lower + 1 == static_cast<std::ptrdiff_t>(values.size())) return low;
  const double high = *std::min_element(values.begin() + lower + 1, values.end());
  return low + (place - static_cast<double>(lower)) * (high - low);
}

Interval percentiles(std::vector<double> values, double confidence) {
  const double outside = (1 - confidence) / 2;
  const double low = quantile(values, outside);
  return {low, quantile(values, 1 - outside)};
}

}  // namespace

PairedBootstrap::PairedBootstrap(const std::vector<Repetitions>& settings, const BootstrapOptions& options)
    : options_(options) {
  for (const Repetitions& setting : settings) {
    if (setting.empty() || setting.front().empty()) throw std::invalid_argument("bootstrap: nothing to draw from");
    for (const std::vector<double>& values : setting) {
      if (values.size() != settings.front().front().size()) {
        throw std::invalid_argument("bootstrap: repetitions of different numbers of rows");
      }
    }
    double sum = 0;
    for (const std::vector<double>& values : setting) sum += mean_of(values);
    means_.push_back(sum / static_cast<double>(setting.size()));
  }
  if (settings.empty()) return;
  const auto resamples = static_cast<size_t>(options.resamples);
  resampled_.assign(settings.size(), std::vector<double>(resamples));
  std::vector<double> counts(settings.front().front().size()), drawn;
  for (size_t i = 0; i < resamples; ++i) {
    throw_if_stopped("drawing resamples");
    RandomStream rows(options.seed, {kRows, i});
    draw_counts(rows, counts);
    for (size_t s = 0; s < settings.size(); ++s) {
      drawn.assign(settings[s].size(), 1.0);
      if (drawn.size() > 1) {
        RandomStream repetitions(options.seed, {kRepetitions, i, s});
        draw_counts(repetitions, drawn);
      }
      double sum = 0;
      for (size_t r = 0; r < drawn.size(); ++r) {
        if (drawn[r] == 0) continue;
        sum += drawn[r] * std::inner_product(counts.begin(), counts.end(), settings[s][r].begin(), 0.0);
      }
      resampled_[s][i] = sum / static_cast<double>(counts.size() * drawn.size());
    }
  }
}

Interval PairedBootstrap::interval(size_t setting) const {
  return percentiles(resampled_[setting], options_.confidence);
}

Difference PairedBootstrap::difference(size_t first, size_t second) const {
  std::vector<double> differences(resampled_[first].size());
  int64_t at_most = 1, at_least = 1;
  for (size_t i = 0; i < differences.size(); ++i) {
    differences[i] = resampled_[first][i] - resampled_[second][i];
    at_most += differences[i] <= 0 ? 1 : 0;
    at_least += differences[i] >= 0 ? 1 : 0;
  }
  Difference out;
  out.value = means_[first] - means_[second];
  out.p =
      std::min(1.0, 2 * static_cast<double>(std::min(at_most, at_least)) / static_cast<double>(differences.size() + 1));
  out.interval = percentiles(std::move(differences), options_.confidence);
  return out;
}

}  // namespace engraft::stats
