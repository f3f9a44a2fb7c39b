#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace engraft::finetune {

/// `--augment` and `--views`; `of` says of which pictures, `views_help` what the views are for.
template <class Visitor>
void describe_views(Visitor& v, std::string& augment, std::optional<int64_t>& views, const std::string& of,
                    const std::string& views_help) {
  v.group("Augmentation (of " + of + "; every view is drawn from the seed)");
  v.field("augment", augment,
          "practicum (rotate=40,shift=0.2,shear=0.2,zoom=0.2,flip), standard (crop,flip), or such a list; also "
          "trivial, jitter=B:C:S:H, erase=P, crop=LEAST:MOST")
      .value("LIST");
  v.field("views", views, views_help).at_least(1).at_most(10000);
}

}  // namespace engraft::finetune
