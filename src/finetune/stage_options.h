#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace engraft::finetune {

/// More passes, or batches in an update, than any training has; their products with numbers of rows can be counted.
inline constexpr double kMostEpochs = 1e6;
inline constexpr double kMostBatches = 1e6;
/// Of mixup and cutmix: each picture then keeps a half of its own.
inline constexpr double kMostAlpha = 1e6;

/// How weights move in a stage. A stage inherits every field it does not give.
struct OptimizerOptions {
  std::string optimizer = "adamw";
  double learning_rate = 1e-3;
  std::optional<double> momentum;
  bool nesterov = false;
  double weight_decay = 1e-4;
  std::string schedule = "cosine";
  int64_t warmup_epochs = 0;
  double schedule_factor = 0.1;
  int64_t schedule_epochs = 10;
  double layer_decay = 1;
  double backbone_scale = 1;
  std::optional<std::string> norms;
  double clip_norm = 0;
  int64_t accumulate = 1;
  double ema = 0;
  double label_smoothing = 0;
  std::string class_weights = "none";
  bool balanced = false;
  double mixup = 0;
  double cutmix = 0;
  int64_t patience = 0;
};

template <class Visitor>
void describe_optimizer(Visitor& v, OptimizerOptions& o, const std::string& learning_rate_help) {
  v.field(
       "optimizer", o.optimizer,
       "rule of the update; rmsprop is torch's, rmsprop_keras Keras'; lbfgs is for heads: a step an epoch on all rows")
      .one_of({"sgd", "adamw", "rmsprop", "rmsprop_keras", "lbfgs"});
  v.field("learning_rate", o.learning_rate, learning_rate_help).above(0);
  v.field("momentum", o.momentum, "default: 0.9 for sgd, 0 for both rmsprop; adamw and lbfgs take none")
      .at_least(0)
      .below(1);
  v.field("nesterov", o.nesterov, "Nesterov's momentum, of sgd");
  v.field("weight_decay", o.weight_decay, "none on biases and norms").at_least(0);
  v.field("schedule", o.schedule, "how the rate moves over the stage")
      .one_of({"cosine", "constant", "one_cycle", "step", "plateau"});
  v.field("warmup_epochs", o.warmup_epochs, "epochs of linear warm-up").at_least(0).at_most(kMostEpochs);
  v.field("schedule_factor", o.schedule_factor, "of step and plateau: what the rate is multiplied by")
      .above(0)
      .below(1);
  v.field("schedule_epochs", o.schedule_epochs,
          "step: every so many epochs; plateau: after more than so many without a lower validation loss")
      .at_least(1)
      .at_most(kMostEpochs);
  v.group("Further settings (stages take those of the head that they do not give)");
  v.field("layer_decay", o.layer_decay, "the rate of each learning block is that of the one above it times this")
      .above(0)
      .at_most(1);
  v.field("backbone_scale", o.backbone_scale, "the rate of all learning blocks, as a share of the head's").above(0);
  v.field("norms", o.norms,
          "batch norms of learning blocks: frozen keeps the file's statistics; recalibrate measures them on the "
          "training pictures, then keeps them; train lets them move; default: frozen, for new: networks train")
      .one_of({"frozen", "train", "recalibrate"});
  v.field("clip_norm", o.clip_norm, "longest gradient, L2 over all that learns; 0: as it comes").at_least(0);
  v.field("accumulate", o.accumulate, "batches that share one update").at_least(1).at_most(kMostBatches);
  v.field("ema", o.ema, "moving average of the weights: share of the old, such as 0.999; 0: none").at_least(0).below(1);
  v.field("label_smoothing", o.label_smoothing, "share of the target spread over all classes").at_least(0).below(1);
  v.field("class_weights", o.class_weights, "balanced, none, or CLASS:WEIGHT+CLASS:WEIGHT, 1 for the others")
      .value("WEIGHTS");
  v.field("balanced", o.balanced, "draw every class equally often, with replacement");
  v.field("mixup", o.mixup, "alpha of mixup on pictures; the trunk then runs in every epoch; 0: none")
      .at_least(0)
      .at_most(kMostAlpha);
  v.field("cutmix", o.cutmix, "alpha of cutmix, likewise; with both, each batch draws one")
      .at_least(0)
      .at_most(kMostAlpha);
  v.field("patience", o.patience, "end the stage after so many epochs without a better one; 0: never").at_least(0);
}

/// One --stage or [[stage]]: what learns, for how long, how.
struct StageOptions {
  std::string unfreeze;
  int64_t epochs = 0;
  OptimizerOptions optimizer;
};

template <class Visitor>
void describe(Visitor& v, StageOptions& o) {
  v.field("unfreeze", o.unfreeze, "BLOCK and all above it, last:N, all, none, or single blocks joined by +").required();
  v.field("epochs", o.epochs, "passes over the training pictures").at_least(1).at_most(kMostEpochs);
  describe_optimizer(v, o.optimizer, "peak learning rate; default: a tenth of the head's");
}

}  // namespace engraft::finetune
