#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/data_options.h"
#include "engine/compute_options.h"
#include "image/preprocessing_flags.h"
#include "store/cache_options.h"

namespace engraft::finetune {

/// How weights move. A stage inherits every field it does not give.
struct OptimizerOptions {
  std::string optimizer = "adamw";
  double learning_rate = 1e-3;
  double momentum = 0.9;
  double weight_decay = 1e-4;
  std::string schedule = "cosine";
  int64_t warmup_epochs = 0;
};

/// The fields of OptimizerOptions, or their optional counterparts in StageOptions.
template <class Visitor, class Options>
void describe_optimizer(Visitor& v, Options& o, const std::string& learning_rate_help) {
  v.field("optimizer", o.optimizer, "rule of the update").one_of({"sgd", "adamw", "rmsprop"});
  v.field("learning_rate", o.learning_rate, learning_rate_help).above(0);
  v.field("momentum", o.momentum, "of sgd; rmsprop and adamw take none").at_least(0).below(1);
  v.field("weight_decay", o.weight_decay, "none on biases and norms").at_least(0);
  v.field("schedule", o.schedule, "how the rate moves over the stage").one_of({"cosine", "constant"});
  v.field("warmup_epochs", o.warmup_epochs, "epochs of linear warm-up").at_least(0);
}

/// One --stage or [[stage]]: what learns, for how long, how.
struct StageOptions {
  std::string unfreeze;
  std::optional<int64_t> epochs;
  std::optional<std::string> optimizer;
  std::optional<double> learning_rate;
  std::optional<double> momentum;
  std::optional<double> weight_decay;
  std::optional<std::string> schedule;
  std::optional<int64_t> warmup_epochs;
};

template <class Visitor>
void describe(Visitor& v, StageOptions& o) {
  v.field("unfreeze", o.unfreeze, "BLOCK and all above it, last:N, all, none, or single blocks joined by +").required();
  v.field("epochs", o.epochs, "passes over the training pictures").at_least(1);
  describe_optimizer(v, o, "peak learning rate; default: a tenth of the head's");
}

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
  double val_fraction = data::kValFraction;
  data::DataOptions data;
  image::PreprocessingFlags preprocessing;
  store::CacheOptions cache;
  engine::ComputeOptions compute;
};

template <class Visitor>
void describe(Visitor& v, TrainOptions& o) {
  v.field("backbone", o.backbone, "TorchScript file of the pretrained network").value("FILE").required();
  v.group("Model");
  v.field("tap", o.tap, "last block kept; its output feeds pool and head; default: the last legal 4-D one")
      .value("BLOCK");
  v.field("pool", o.pool, "how its feature map becomes an embedding").one_of({"avg", "flatten"});
  v.field("head", o.head, "hidden layers, as fc=1024,relu,dropout=0.2; the last layer to the classes is always added")
      .value("LAYERS");
  v.field("loss", o.loss, "softmax, or sigmoid: one logit for two classes").one_of({"softmax", "sigmoid"});
  v.group("Training (the head alone, on features computed once)");
  v.field("epochs", o.epochs, "passes over the training pictures; 0 goes straight to the first stage").at_least(0);
  describe_optimizer(v, o.optimizer, "peak learning rate");
  v.field("stage", o.stage,
          "then unfreeze: unfreeze=BLOCK,epochs=N,optimizer=sgd,learning_rate=1e-5,momentum=0.9; BLOCK and all above "
          "it, last:N, all, or single blocks joined by +; what is not given is the head's, the rate a tenth of it")
      .value("STAGE");
  v.field("select", o.select,
          "which epoch of the last stage model.pt holds; best: highest top1, then lowest loss, then the earlier")
      .one_of({"best", "last"});
  v.field("seed", o.seed, "the same seed gives the same bytes").at_least(0);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction);
  v.field("skip_bad", o.skip_bad, "go on without pictures that cannot be read");
  v.field("resume", o.resume,
          "go on with the run in --out where it was cut off, to the same bytes; starts it if it is not there")
      .not_recorded();
  describe(v, o.preprocessing);
  describe(v, o.cache);
  describe(v, o.compute);
}

}  // namespace engraft::finetune
