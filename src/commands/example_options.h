#pragma once

#include <cstdint>
#include <string>

#include "commands/common_options.h"

namespace engraft::commands {

struct ExampleOptions {
  std::string out;
  std::string pictures = "textures";
  int64_t train = 40;
  int64_t val = 20;
  int64_t size = 96;
  int64_t seed = 42;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, ExampleOptions& o) {
  v.field("out", o.out, "folder to make; must not exist or be empty").value("DIR").required();
  v.field("pictures", o.pictures,
          "textures: four, easy; shapes: eight classes of filled shapes, which raw pixels do not tell")
      .one_of({"textures", "shapes"});
  v.field("train", o.train, "training pictures of each class").at_least(2).at_most(100000);
  v.field("val", o.val, "validation pictures of each class").at_least(1).at_most(100000);
  v.field("size", o.size, "short side of the pictures").value("PX").at_least(32).at_most(2048);
  v.field("seed", o.seed, "the same seed draws the same pictures").at_least(0);
  describe(v, o.common);
}

}  // namespace engraft::commands
