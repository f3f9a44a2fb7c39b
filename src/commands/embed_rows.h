#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/listing.h"
#include "finetune/forward_pass.h"
#include "finetune/views.h"
#include "model/compose.h"
#include "store/feature_store.h"

namespace engraft::commands {

/// What a store lacks of a data set.
struct Missing {
  /// Rows of the listing that have to be read, in its order.
  std::vector<int64_t> rows;
  /// Of these: pictures that the store does not know, and those whose file is another by now.
  int64_t added = 0, changed = 0;
  /// Pictures of the store that the listing does not have.
  int64_t gone = 0;
};

/// `known`: one line a picture, the newest. A picture is taken to be the same where size and time of its file are, or
/// where its content is; `verify` reads every file and trusts its content alone. Throws Stopped between two files.
Missing missing_of(const data::Listing& listing, const std::vector<store::PictureFile>& known, bool verify);

/// The items of `rows`: each training picture and each without a split in all views, the others as they are.
std::vector<int64_t> items_to_store(const data::Listing& listing, const std::vector<int64_t>& rows,
                                    const finetune::Views& views);

/// One of these items for each picture; of several views one that depends on the picture's place alone.
std::vector<int64_t> one_item_each(const data::Listing& listing, const finetune::Views& views);

/// Pictures of the listing that a store tried to read and could not; `newest`: one line a picture.
int64_t count_unread(const data::Listing& listing, const std::vector<store::PictureFile>& newest);

/// What a generation will hold, item by item, as FeatureStoreWriter takes it.
std::string plan_text(int64_t shard_rows, const data::Listing& listing, const finetune::Views& views,
                      const std::vector<int64_t>& items);

/// Of `files`, a store's, those of generations before `generation`, the newest of each picture.
std::vector<store::PictureFile> files_before(const std::vector<store::PictureFile>& files, int64_t generation);

/// What is known of each sample's file; nothing of those that `generation` is still to read.
std::vector<io::FileFacts> facts_of(const data::Listing& listing, const std::vector<store::PictureFile>& files,
                                    const std::vector<int64_t>& to_read, int64_t generation);

/// Hands what a pass over items gives to a store, rows and skips in the order of the items.
class StoreFeeder {
 public:
  /// The pass starts at items[first]; as many as the writer has done are stored already. All must outlive it.
  StoreFeeder(store::FeatureStoreWriter& writer, const data::Listing& listing, const finetune::Views& views,
              const std::vector<io::FileFacts>& facts, model::Pool pool, const std::vector<int64_t>& items,
              int64_t first);

  void take_bad(const finetune::BadPicture& bad);
  /// As PassConsumer.
  void take(const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs);
  /// To be called behind the pass, for what was unreadable at its end.
  void finish();

 private:
  void skip_until(int64_t item);
  store::IndexRow index_row(int64_t item) const;

  store::FeatureStoreWriter& writer_;
  const data::Listing& listing_;
  const finetune::Views& views_;
  const std::vector<io::FileFacts>& facts_;
  model::Pool pool_;
  const std::vector<int64_t>& items_;
  size_t next_, done_;
  std::unordered_map<int64_t, std::string> reasons_;  // of items that could not be read
};

/// A listing's sample as a row of the store.
store::IndexRow index_row_of(const data::Sample& sample);

}  // namespace engraft::commands
