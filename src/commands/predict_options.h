#pragma once

#include <string>
#include <vector>

#include "commands/common_options.h"
#include "data/data_options.h"
#include "engine/compute_options.h"

namespace engraft::commands {

struct PredictOptions {
  std::string model;
  std::vector<std::string> paths;
  int64_t top = 1;
  int64_t batch = data::kDefaultBatch;
  int64_t max_bad = 0;
  std::string skipped;
  engine::ComputeOptions compute;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, PredictOptions& o) {
  v.field("paths", o.paths, "pictures and folders of pictures; - reads a list, one path a line, from stdin")
      .value("PATH")
      .positional()
      .required();
  v.field("model", o.model, "model.pt of a run").value("FILE").required();
  v.field("top", o.top, "how many classes to name, best first").at_least(1);
  v.field("batch", o.batch, "pictures in a batch").at_least(1).at_most(65536);
  v.field("max_bad", o.max_bad, "pictures that may be unreadable before the exit code is 5").at_least(0);
  v.field("skipped", o.skipped, "write unreadable pictures with the reason here, as CSV").value("FILE").not_recorded();
  describe(v, o.compute);
  describe(v, o.common);
}

}  // namespace engraft::commands
