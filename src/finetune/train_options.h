#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/data_options.h"
#include "engine/compute_options.h"
#include "finetune/stage_options.h"
#include "finetune/teacher_options.h"
#include "finetune/view_options.h"
#include "image/preprocessing_flags.h"
#include "options/schema.h"
#include "store/cache_options.h"

namespace engraft::finetune {

/// All that decides a training; where it is written and how it talks is the command's.
struct TrainOptions {
  std::string backbone;
  std::string tap;
  std::string pool = "avg";
  std::string head;
  std::string loss = "softmax";
  int64_t epochs = 30;
  OptimizerOptions optimizer;
  /// Each as StageOptions' key=value text.
  std::vector<std::string> stage;
  std::string select = "best";
  int64_t seed = 42;
  bool skip_bad = false;
  bool resume = false;
  bool find_lr = false;
  std::optional<double> checkpoint_every;
  int64_t verify_resume = 0;
  std::string augment = "none";
  std::optional<int64_t> views;
  TeacherOptions teaching;
  double val_fraction = data::kValFraction;
  data::DataOptions data;
  image::PreprocessingFlags preprocessing;
  store::CacheOptions cache;
  engine::ComputeOptions compute;
};

template <class Visitor>
void describe(Visitor& v, TrainOptions& o) {
  v.field("backbone", o.backbone,
          "TorchScript file of the pretrained network, or new:cnn3, new:inception-mini: untrained ones")
      .value("FILE")
      .required();
  v.group("Model");
  v.field("tap", o.tap, "last block kept; its output feeds pool and head; default: the last legal 4-D one")
      .value("BLOCK");
  v.field("pool", o.pool, "how its feature map becomes an embedding").one_of({"avg", "flatten"});
  v.field("head", o.head, "hidden layers, as fc=1024,relu,dropout=0.2; the last layer to the classes is always added")
      .value("LAYERS");
  v.field("loss", o.loss,
          "softmax; sigmoid: one logit for two classes; auto: sigmoid where there are two; multilabel: any number of "
          "labels, names with ; between them in a manifest; regression: a manifest's labels are numbers")
      .one_of({"softmax", "sigmoid", "auto", "multilabel", "regression"});
  v.group("Training (the head alone, on features computed once)");
  v.field("epochs", o.epochs, "passes over the training pictures; 0 goes straight to the first stage")
      .at_least(0)
      .at_most(kMostEpochs);
  describe_optimizer(v, o.optimizer, "peak learning rate");
  v.group("Stages");
  v.field(
       "stage", o.stage,
       "then unfreeze: unfreeze=BLOCK,epochs=N,optimizer=sgd,learning_rate=1e-5,momentum=0.9; BLOCK and all above "
       "it, last:N, all, or single blocks joined by +; all settings above may be given; what is not is the head's, the "
       "rate a tenth of it")
      .value("STAGE");
  v.field("select", o.select,
          "which epoch of the last stage model.pt holds; best: highest top1 (multilabel: mean average precision; "
          "regression: none), then lowest loss, then the earlier; a stage before it always hands on its best")
      .one_of({"best", "last"});
  v.field("seed", o.seed, "the same seed gives the same bytes").at_least(0);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction);
  v.field("skip_bad", o.skip_bad, "go on without pictures that cannot be read");
  v.group("Stopping, going on, trying out");
  v.field("resume", o.resume,
          "go on with the run in --out where it was cut off, to the same bytes; starts it if it is not there")
      .not_recorded();
  v.field("checkpoint_every", o.checkpoint_every,
          "seconds between checkpoints; default: as often as costs 1 % of the time, and at most 10 minutes apart")
      .value("S")
      .at_least(0)
      .not_recorded();
  v.field("verify_resume", o.verify_resume,
          "first replay so many updates, in one go and by a checkpoint on disk, and compare every bit; 0: not")
      .at_least(0)
      .not_recorded();
  v.field("find_lr", o.find_lr,
          "only try rising rates on the first stage and write rate_range.csv with the losses; names a rate")
      .not_recorded();
  describe_views(v, o.augment, o.views, "training pictures",
                 "views of each picture that the epochs take in turn; what the frozen blocks compute of them is kept; "
                 "default: 8 with --augment; where nothing is frozen, one for each epoch");
  describe(v, o.teaching);
  describe(v, o.preprocessing);
  describe(v, o.cache);
  describe(v, o.compute);
}

/// One of TrainOptions::stage as it is written; what it does not give is the head stage's, its rate a tenth. Throws
/// UsageError, beginning with `where`, for an option that a stage has not, or a value out of its range.
inline StageOptions read_stage(const std::string& text, const TrainOptions& head, const std::string& where) {
  StageOptions given{"", head.epochs, head.optimizer};
  given.optimizer.learning_rate /= 10;
  options::Schema schema;
  describe(schema, given);
  schema.apply_assignments(text, where);
  schema.check_required(where);
  return given;
}

}  // namespace engraft::finetune
