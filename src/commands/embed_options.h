#pragma once

#include "commands/common_options.h"
#include "data/data_options.h"
#include "engine/compute_options.h"
#include "image/preprocessing_flags.h"

namespace engraft::commands {

struct EmbedOptions {
  std::string backbone;
  std::string out;
  std::string tap;
  std::string pool = "avg";
  int64_t shard_rows = 65536;
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
  v.field("out", o.out, "folder of the feature store; must not exist or be empty").value("DIR").required();
  v.field("tap", o.tap, "block whose output is kept, several separated by commas; default: the last legal 4-D one")
      .value("BLOCK");
  v.field("pool", o.pool, "how a feature map becomes a row; none keeps the map")
      .one_of({"avg", "max", "flatten", "none"});
  v.field("shard_rows", o.shard_rows, "rows in one .npy file").at_least(1);
  v.field("max_bad", o.max_bad, "pictures that may be unreadable before the exit code is 5").at_least(0);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction);
  describe(v, o.preprocessing);
  describe(v, o.compute);
  describe(v, o.common);
}

}  // namespace engraft::commands
