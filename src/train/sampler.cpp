#include "train/sampler.h"

#include <map>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"

namespace engraft::train {

namespace {

constexpr uint64_t kShuffleKey = 0x73687566;  // "shuf"
constexpr uint64_t kBalanceKey = 0x62616c61;  // "bala"

/// The rows of each class that has any, by ascending label.
std::vector<std::vector<int64_t>> rows_by_class(const std::vector<int64_t>& labels) {
  std::map<int64_t, std::vector<int64_t>> members;
  for (size_t row = 0; row < labels.size(); ++row) {
    if (labels[row] < 0) throw UsageError(text::cat("balanced sampling: row ", row, " has label ", labels[row]));
    members[labels[row]].push_back(static_cast<int64_t>(row));
  }
  std::vector<std::vector<int64_t>> classes;
  for (auto& item : members) classes.push_back(std::move(item.second));
  return classes;
}

std::vector<int64_t> balanced_order(const std::vector<int64_t>& labels, RandomStream& stream) {
  const std::vector<std::vector<int64_t>> classes = rows_by_class(labels);
  // Which classes get one row more than the others changes from epoch to epoch.
  const std::vector<int64_t> turns = permutation(static_cast<int64_t>(classes.size()), stream);
  std::vector<int64_t> drawn;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::vector<int64_t>& members = classes[static_cast<size_t>(turns[i % turns.size()])];
    drawn.push_back(members[stream.below(members.size())]);
  }
  std::vector<int64_t> order;
  for (const int64_t at : permutation(static_cast<int64_t>(drawn.size()), stream)) {
    order.push_back(drawn[static_cast<size_t>(at)]);
  }
  return order;
}

}  // namespace

std::vector<int64_t> epoch_order(const EpochKey& key, int64_t rows, const std::vector<int64_t>& balance_by) {
  const auto stage = static_cast<uint64_t>(key.stage), epoch = static_cast<uint64_t>(key.epoch);
  if (balance_by.empty()) {
    RandomStream shuffle(key.seed, {kShuffleKey, stage, epoch});
    return permutation(rows, shuffle);
  }
  if (static_cast<int64_t>(balance_by.size()) != rows) {
    throw UsageError(text::cat("balanced sampling: expected ", rows, " labels, found ", balance_by.size()));
  }
  RandomStream stream(key.seed, {kBalanceKey, stage, epoch});
  return balanced_order(balance_by, stream);
}

}  // namespace engraft::train
