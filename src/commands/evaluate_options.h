#pragma once

#include "commands/common_options.h"
#include "commands/gate_options.h"
#include "data/data_options.h"
#include "engine/compute_options.h"

namespace engraft::commands {

struct EvaluateOptions {
  std::string model;
  std::optional<std::string> split;
  std::string predictions;
  std::string skipped;
  int64_t max_bad = 0;
  std::optional<double> val_fraction;
  GateOptions gates;
  data::DataOptions data;
  engine::ComputeOptions compute;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, EvaluateOptions& o) {
  v.field("model", o.model, "model.pt of a run").value("FILE").required();
  v.field(
       "split", o.split,
       "which pictures; default: val, or all where the data have no splits and the model's training did not go by the "
       "hash rule")
      .one_of({"val", "train", "test", "all"});
  v.field("predictions", o.predictions, "also write one line a picture here, as CSV").value("FILE").not_recorded();
  v.field("skipped", o.skipped, "write unreadable pictures with the reason here, as CSV").value("FILE").not_recorded();
  v.field("max_bad", o.max_bad, "pictures that may be unreadable before the exit code is 5").at_least(0);
  describe(v, o.data);
  data::describe_val_fraction(v, o.val_fraction, "; default: that of the model's training");
  describe(v, o.gates,
           "'top1.low >= 0.95', 'worst.COLUMN.top1 >= 90%', 'gap.COLUMN.top1 < 5%', 'by.COLUMN.VALUE.top1.low > 0.9'");
  describe(v, o.compute);
  describe(v, o.common);
}

}  // namespace engraft::commands
