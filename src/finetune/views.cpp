#include "finetune/views.h"

#include "base/errors.h"
#include "base/text.h"

namespace engraft::finetune {

namespace {

constexpr uint64_t kTurnKey = 0x7475726e;  // "turn"
constexpr uint64_t kViewKey = 0x76696577;  // "view"

}  // namespace

Views make_views(const std::string& augment, const std::optional<int64_t>& views, int64_t usual, int64_t seed,
                 int64_t listing_rows) {
  Views out;
  out.augmentation = image::parse_augmentation(augment);
  out.seed = static_cast<uint64_t>(seed);
  out.listing_rows = listing_rows;
  if (out.is_random()) {
    out.count = views.value_or(usual);
  } else if (views.value_or(1) > 1) {
    throw UsageError(text::cat("--views ", *views, ": without --augment all views of a picture are the same"));
  }
  return out;
}

int64_t Views::item(int64_t row, int64_t view) const { return is_random() ? (view + 1) * listing_rows + row : row; }

int64_t Views::view_in(int64_t row, int64_t epoch) const {
  const uint64_t hash = mix(mix(seed, kTurnKey), static_cast<uint64_t>(row));
  const auto k = static_cast<uint64_t>(count);
  return static_cast<int64_t>((static_cast<uint64_t>(epoch) % k + hash % k) % k);
}

RandomStream Views::stream(int64_t item) const {
  const auto view = static_cast<uint64_t>(item / listing_rows - 1);
  return RandomStream(seed, {kViewKey, view, static_cast<uint64_t>(row_of(item))});
}

std::vector<int64_t> Views::items_of(const std::vector<int64_t>& rows) const {
  std::vector<int64_t> items;
  items.reserve(rows.size() * static_cast<size_t>(count));
  for (const int64_t row : rows) {
    for (int64_t view = 0; view < count; ++view) items.push_back(item(row, view));
  }
  return items;
}

}  // namespace engraft::finetune
