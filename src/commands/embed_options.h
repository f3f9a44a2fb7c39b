#pragma once

#include "commands/common_options.h"
#include "data/data_options.h"
#include "engine/compute_options.h"
#include "finetune/view_options.h"
#include "image/preprocessing_flags.h"

namespace engraft::commands {

struct EmbedOptions {
  std::string backbone;
  std::string out;
  std::string tap;
  std::string pool = "avg";
  std::string dtype = "float32";
  int64_t shard_rows = 8192;
  std::string augment = "none";
  std::optional<int64_t> views;
  int64_t seed = 42;
  bool resume = false;
  bool append = false;
  bool verify = false;
  std::string cache_dir;
  int64_t max_bad = 0;
  double val_fraction = data::kValFraction;
  data::DataOptions data;
  image::PreprocessingFlags preprocessing;
  engine::ComputeOptions compute;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, EmbedOptions& o) {
  v.field("backbone", o.backbone, "TorchScript file of the pretrained network").value("FILE").required();
  v.field("out", o.out, "folder of the feature store; must be new or empty, but for --resume and --append")
      .value("DIR")
      .required();
  v.field("tap", o.tap, "block whose output is kept, several separated by commas; default: the last legal 4-D one")
      .value("BLOCK");
  v.field("pool", o.pool, "how a feature map becomes a row; none keeps the map")
      .one_of({"avg", "max", "flatten", "none"});
  v.field("dtype", o.dtype, "numbers of the store; bfloat16 goes into .safetensors files, the others into .npy")
      .one_of({"float32", "float16", "bfloat16"});
  v.field("shard_rows", o.shard_rows, "rows in one file; what is not in a whole one is computed again by --resume")
      .at_least(1);
  v.field("max_bad", o.max_bad, "pictures that may be unreadable before the exit code is 5").at_least(0).not_recorded();
  v.group("Going on");
  v.field("resume", o.resume, "go on where a kill cut the writing off, to the same bytes; starts it if it is not there")
      .not_recorded();
  v.field("append", o.append,
          "add to the store what it does not have: new pictures, and new rows for those whose file changed")
      .not_recorded();
  v.field("verify", o.verify, "tell changed files by their content, not by size and time").not_recorded();
  finetune::describe_views(v, o.augment, o.views, "pictures of the training split, or without a split",
                           "rows of each such picture, one a view; default: 8 with --augment");
  v.field("seed", o.seed, "the same seed gives the same views").at_least(0);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction);
  describe(v, o.preprocessing);
  describe(v, o.compute);
  v.field("cache_dir", o.cache_dir,
          "where what was found of network and pictures is kept for later runs; default: $ENGRAFT_CACHE, else the "
          "user's cache folder")
      .value("DIR")
      .not_recorded();
  describe(v, o.common);
}

}  // namespace engraft::commands
