#include "finetune/int8_probe.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "finetune/int8_choice.h"
#include "train/ridge.h"

namespace engraft::finetune {

namespace {

/// For each of `rows`, whether it is told right by ridge regression on the other half of each class.
std::vector<bool> told_right(const at::Tensor& rows, const std::vector<int64_t>& labels) {
  std::vector<int64_t> half;  // of each row
  std::unordered_map<int64_t, int64_t> met;
  for (const int64_t label : labels) half.push_back(met[label]++ % 2);
  std::vector<bool> right(labels.size(), false);
  for (const int64_t asking : {0, 1}) {
    std::vector<int64_t> known, known_labels, asked;
    for (size_t i = 0; i < labels.size(); ++i) {
      (half[i] == asking ? asked : known).push_back(static_cast<int64_t>(i));
      if (half[i] != asking) known_labels.push_back(labels[i]);
    }
    if (known.empty() || asked.empty()) continue;
    const auto told = train::ridge_classes(rows.index_select(0, at::tensor(known)), known_labels,
                                           rows.index_select(0, at::tensor(asked)));
    for (size_t i = 0; i < asked.size(); ++i) {
      const auto row = static_cast<size_t>(asked[i]);
      right[row] = told[i] == labels[row];
    }
  }
  return right;
}

}  // namespace

std::optional<Int8Verdict::Probe> probe_both(const at::Tensor& f32, const at::Tensor& int8,
                                             const std::vector<int64_t>& labels) {
  std::vector<int64_t> places, known;
  std::unordered_map<int64_t, int64_t> counts;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    places.push_back(static_cast<int64_t>(i));
    known.push_back(labels[i]);
    ++counts[labels[i]];
  }
  if (counts.size() < 2) return std::nullopt;
  const at::Tensor chosen = at::tensor(places);
  const std::vector<bool> by_f32 = told_right(f32.index_select(0, chosen), known);
  const std::vector<bool> by_int8 = told_right(int8.index_select(0, chosen), known);
  Int8Verdict::Probe probe;
  probe.pictures = static_cast<int64_t>(known.size());
  for (size_t i = 0; i < known.size(); ++i) {
    probe.f32_right += by_f32[i] ? 1 : 0;
    probe.int8_right += by_int8[i] ? 1 : 0;
    probe.f32_alone += by_f32[i] && !by_int8[i] ? 1 : 0;
    probe.int8_alone += by_int8[i] && !by_f32[i] ? 1 : 0;
  }
  for (const auto& [label, count] : counts) probe.most_frequent = std::max(probe.most_frequent, count);
  return probe;
}

bool is_above_chance(const Int8Verdict::Probe& probe) {
  const auto all = static_cast<double>(probe.pictures), chance = static_cast<double>(probe.most_frequent) / all;
  const double deviation = std::sqrt(all * chance * (1 - chance));
  return static_cast<double>(probe.f32_right) > all * chance + kLeastAboveChance * deviation;
}

}  // namespace engraft::finetune
