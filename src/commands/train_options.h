#pragma once

#include <string>

#include "commands/common_options.h"
#include "finetune/train_options.h"

namespace engraft::commands {

struct TrainOptions {
  std::string out;
  finetune::TrainOptions train;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, TrainOptions& o) {
  v.field("out", o.out, "run folder; must not exist or be empty").value("DIR").required().not_recorded();
  describe(v, o.train);
  describe(v, o.common);
}

}  // namespace engraft::commands
