#pragma once

#include "commands/embed_options.h"

namespace engraft::commands {

/// What embed would do with the same flags, with a watch beside it.
struct BenchOptions {
  EmbedOptions embed;  // but for its common ones
  CommonOptions common;
  int64_t pictures = 256;
  int64_t rounds = 5;
  std::string scratch;
};

template <class Visitor>
void describe(Visitor& v, BenchOptions& o) {
  v.field("backbone", o.embed.backbone, "TorchScript file of the pretrained network; without one no network is run")
      .value("FILE");
  v.field("data", o.embed.data.data,
          "pictures, as embed takes them; without them only machine and network are measured")
      .value("DATA");
  v.field("tap", o.embed.tap, "block up to which the network runs; default: the last legal 4-D one").value("BLOCK");
  v.field("pool", o.embed.pool, "how a feature map becomes a row; none keeps the map")
      .one_of({"avg", "max", "flatten", "none"});
  v.field("batch", o.embed.data.batch, "pictures in a batch").at_least(1).at_most(65536);
  v.field("pictures", o.pictures, "how many of them to measure with, evenly spread over the data").at_least(1);
  v.field("rounds", o.rounds,
          "every stage is measured once in each, by turns; the stages' medians count, and the best of a ceiling")
      .at_least(1)
      .at_most(1000);
  v.field("scratch", o.scratch,
          "folder in which rows are written for a while, to time that; default: the system's for temporary files")
      .value("DIR");
  v.field("cache_dir", o.embed.cache_dir,
          "where what was found of network and pictures is kept; default: $ENGRAFT_CACHE, else the user's cache folder")
      .value("DIR");
  describe(v, o.embed.preprocessing);
  describe(v, o.embed.compute);
  describe(v, o.common);
}

}  // namespace engraft::commands
