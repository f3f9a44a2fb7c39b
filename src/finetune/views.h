#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "image/augment.h"

namespace engraft::finetune {

/// The seeded views in which training pictures are seen. An *item* says what the loader shall make: a row of the
/// listing as it is (the number of the row itself), or a row in one of its views.
struct Views {
  /// K; 1 without augmentation.
  int64_t count = 1;
  /// None: the one view is the picture as it is.
  image::Augmentation augmentation;
  uint64_t seed = 0;
  /// Rows of the listing; 0: every item is a row.
  int64_t listing_rows = 0;

  bool is_random() const { return image::is_random(augmentation); }
  /// `view` is below `count`.
  int64_t item(int64_t row, int64_t view) const;
  int64_t row_of(int64_t item) const { return listing_rows > 0 ? item % listing_rows : item; }
  /// The view that `row` is seen in in `epoch`: (epoch + hash(seed, row)) mod K, so that K epochs show all of them.
  int64_t view_in(int64_t row, int64_t epoch) const;
  /// The random numbers that make `item`; depends on seed, view and row alone.
  RandomStream stream(int64_t item) const;
  /// All views of `rows`, those of one row beside each other.
  std::vector<int64_t> items_of(const std::vector<int64_t>& rows) const;
};

/// The views that --augment and --views ask for; `usual` of them where only the first is given. Throws UsageError for
/// several views of which each would be the picture as it is, and as image::parse_augmentation.
Views make_views(const std::string& augment, const std::optional<int64_t>& views, int64_t usual, int64_t seed,
                 int64_t listing_rows);
/// Views of each picture where nothing says another number.
inline constexpr int64_t kUsualViews = 8;

}  // namespace engraft::finetune
