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

constexpr int64_t kFewResamples = 10;
constexpr double kRounding = 1e-12;

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

double deviation_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double squares = 0;
  for (const double each : values) squares += (each - mean) * (each - mean);
  return values.size() > 1 ? std::sqrt(squares / static_cast<double>(values.size() - 1)) : 0;
}

/// Two-sided, of a value with the standard error of its resamples.
double normal_p(double value, const std::vector<double>& resampled) {
  const double error = deviation_of(resampled);
  if (error == 0) return value == 0 ? 1 : 0;
  return std::erfc(std::abs(value) / error / std::sqrt(2.0));
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
    repetitions_.push_back(static_cast<double>(setting.size()));
    row_sums_.emplace_back(settings.front().front().size());
    for (const std::vector<double>& values : setting) {
      sum += mean_of(values);
      for (size_t row = 0; row < values.size(); ++row) row_sums_.back()[row] += values[row];
    }
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

int PairedBootstrap::differing_rows(size_t first, size_t second) const {
  int count = 0;
  for (size_t row = 0; row < row_sums_[first].size(); ++row) {
    // Means are equal where these are, which whole numbers of right repetitions show exactly.
    const double one = row_sums_[first][row] * repetitions_[second],
                 other = row_sums_[second][row] * repetitions_[first];
    count += std::abs(one - other) > kRounding * std::max(std::abs(one), std::abs(other)) ? 1 : 0;
  }
  return count;
}

double PairedBootstrap::error(size_t setting) const { return deviation_of(resampled_[setting]); }

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
  const int64_t least = std::min(at_most, at_least);
  out.p = std::min(1.0, 2 * static_cast<double>(least) / static_cast<double>(differences.size() + 1));
  if (least - 1 < kFewResamples) out.p = std::min(out.p, normal_p(out.value, differences));
  out.p = std::max(out.p, std::min(1.0, std::ldexp(1.0, 1 - differing_rows(first, second))));
  out.interval = percentiles(std::move(differences), options_.confidence);
  return out;
}

}  // namespace engraft::stats
