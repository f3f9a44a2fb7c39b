#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/report.h"
#include "finetune/cache_places.h"
#include "store/activation_cache.h"

namespace engraft::finetune {

/// Takes the rows of one output of a pass to their place. A disk that refuses ends no run: what was written goes on in
/// memory where it fits, else the rows are given up, and the reporter is told which and why.
class RowsKeeper {
 public:
  struct Wanted {
    /// "features", or the cut.
    std::string name;
    bool is_features;
    Place place;
    /// At most so many rows.
    int64_t rows;
    /// Of all of them.
    int64_t bytes;
  };
  /// `key` is that of a place on disk. `places` and `reporter` must outlive it.
  RowsKeeper(Wanted wanted, const io::Json& key, CachePlaces& places, Reporter& reporter);

  /// Appends `output` [B, …]; all have the layout of the first.
  void append(const at::Tensor& output);
  /// To be called once, at the end; `bad` as RowsWriter has it. Empty where the rows were given up.
  store::ActivationRows finish(const std::vector<std::pair<int64_t, std::string>>& bad);
  /// Where they are in the end; nowhere where they were given up.
  Place place() const { return wanted_.place; }

 private:
  void leave_disk(const std::string& cause);

  Wanted wanted_;
  CachePlaces& places_;
  Reporter& reporter_;
  std::unique_ptr<store::EntryWriter> disk_;
  std::unique_ptr<store::RowsWriter> memory_;
};

}  // namespace engraft::finetune
