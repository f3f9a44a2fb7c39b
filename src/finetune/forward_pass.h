#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/report.h"
#include "data/listing.h"
#include "data/loader.h"
#include "engine/engine.h"
#include "finetune/views.h"
#include "io/file_facts.h"

namespace engraft::finetune {

/// A picture that could not be read: its row in the listing, and the item that asked for it.
struct BadPicture {
  int64_t row;
  std::string image_path;
  std::string reason;
  int64_t item;
};

struct PassOptions {
  /// Threads that read and decode; 0: as many as cores.
  int64_t loader_threads = 0;
  /// What progress lines call it ("features").
  std::string what;
  /// What the items are; by default rows of the listing.
  Views views = {};
  /// As picture_loader has it.
  std::vector<io::FileFacts>* facts = nullptr;
  /// Told of each picture that could not be read, before its batch is consumed; may be empty.
  std::function<void(const BadPicture&)> on_bad = {};
};

/// One batch's readable pictures: items, and for each output of the engine a tensor [items.size(), …].
using PassConsumer = std::function<void(const std::vector<int64_t>& items, const std::vector<at::Tensor>& outputs)>;

/// Reads `items` of `listing` in order, runs the engine on them in batches of its fixed shape (the last one padded),
/// and hands the outputs to `consume`. Returns what could not be read. The one way in which a frozen network meets
/// pictures: embed, train, evaluate and predict all go through here. Throws Stopped between two batches.
std::vector<BadPicture> forward_pass(const data::Listing& listing, const std::vector<int64_t>& items,
                                     engine::Engine& engine, const PassOptions& options, const PassConsumer& consume,
                                     Reporter& reporter);

/// Reads and decodes `rows` without running anything; returns what could not be read.
std::vector<BadPicture> check_pictures(const data::Listing& listing, const std::vector<int64_t>& rows,
                                       const engine::EngineOptions& shape, const PassOptions& options,
                                       Reporter& reporter);

/// How many pictures go through a network at a time: `wanted`, but not more than `listing` has, whatever their split,
/// where that is more than a default batch. All but embed, which asks for less where it is given little, run the same
/// data in the same shape, and small sets in that of large ones. Throws UsageError where the pictures of one batch
/// alone, three times as bytes and once as float32, would fill this machine's memory.
int64_t batch_shape(int64_t wanted, const data::Listing& listing, const image::Preprocessing& preprocessing);

/// Pictures that were readable when a run began are expected to stay so: throws DataError naming the first of `bad`.
void require_readable(const std::vector<BadPicture>& bad);

/// Rows of the batch that are readable, as positions in the batch and as rows of the listing.
struct GoodRows {
  std::vector<int64_t> positions;
  std::vector<int64_t> rows;
};
GoodRows good_rows(const data::Batch& batch);

/// `output` without the rows of bad pictures and of padding.
at::Tensor select_rows(const at::Tensor& output, const std::vector<int64_t>& positions);

}  // namespace engraft::finetune
