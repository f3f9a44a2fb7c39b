#pragma once

#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "base/report.h"
#include "base/target.h"
#include "data/listing.h"
#include "engine/engine.h"
#include "finetune/engine_choice.h"
#include "finetune/forward_pass.h"
#include "finetune/precision.h"
#include "finetune/stage_plan.h"
#include "finetune/teacher.h"
#include "finetune/train_options.h"
#include "finetune/views.h"
#include "io/file_facts.h"
#include "io/json.h"
#include "model/backbone.h"
#include "model/compose.h"
#include "model/head.h"

namespace engraft::finetune {

/// data::data_digest of a listing with the sizes of its files, and with their contents.
struct DataDigests {
  std::string sizes, contents;
  /// What each sample's file held.
  std::vector<io::FileFacts> files;
};

/// A training with everything resolved that can be known before pictures are computed on.
struct Setup {
  TrainOptions options;
  c10::Device device;
  data::Listing listing;
  /// Rows of `listing`; without the bad ones after drop_bad.
  std::vector<int64_t> train_rows, val_rows, test_rows;
  model::Backbone backbone;
  std::string tap;
  /// The backbone up to the tap.
  torch::jit::Module body;
  /// The head's first.
  std::vector<StagePlan> stages;
  /// Of what is frozen.
  engine::EngineOptions engine_options;
  model::Pool pool;
  model::Head head;
  /// Of training pictures.
  Views views;
  std::vector<BadPicture> skipped;
  /// Of trunk and top; the head is float32.
  PrecisionChoice precision = {};
  /// Of the engine that runs what is frozen.
  engine::EngineReport engine = {};
  Target target = Target::kSoftmax;
  std::optional<Teacher> teacher = {};
  /// Of regression: of the labels of train_rows.
  TargetScale scale = {};
  /// What run.toml says of the options, as one line of JSON.
  std::string record = {};
  /// As digests_of() gave them; empty before.
  DataDigests digests = {};
};

/// Lists the data, loads the backbone, plans the stages, makes the head, and tells `reporter` what it found. Sets the
/// number of compute threads. Throws UsageError, DataError and ModelError for all that can be wrong so far.
Setup set_up(const TrainOptions& options, Reporter& reporter);

/// The digests of the listing, taken when they are first asked for: before the pictures are computed on.
const DataDigests& digests_of(Setup& setup);

/// What run.toml adds to the options under [resolved].
io::Json resolved_json(const Setup& setup);

/// Warns of every bad picture and takes them out of the rows; throws DataError where --skip-bad is not given, or no
/// training picture of some class or no validation picture is left.
void drop_bad(Setup& setup, const std::vector<BadPicture>& bad, Reporter& reporter);

}  // namespace engraft::finetune
