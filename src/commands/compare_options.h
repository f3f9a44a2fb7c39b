#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "commands/common_options.h"
#include "commands/gate_options.h"

namespace engraft::commands {

struct CompareOptions {
  std::vector<std::string> run;
  std::string pairs = "first";
  bool each_seed = false;
  GateOptions gates;
  int64_t resamples = 10000;
  int64_t seed = 42;
  std::string csv;
  std::string pairs_csv;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, CompareOptions& o) {
  v.field("run", o.run,
          "run folders, tables that evaluate --predictions wrote, or a sweep's folder for its trials; they are named "
          "a, b, c, …")
      .value("RUN")
      .positional()
      .required();
  v.field("pairs", o.pairs, "differences of each from the first, of all pairs, or of each from the best")
      .one_of({"first", "all", "best"});
  v.field("each_seed", o.each_seed, "runs that differ in their seed alone stand apart; else they are averaged");
  v.field("resamples", o.resamples, "of the paired bootstrap").at_least(100).at_most(1e6);
  v.field("seed", o.seed, "of the paired bootstrap").at_least(0);
  v.field("csv", o.csv, "also write the runs and their slices here, as CSV").value("FILE").not_recorded();
  v.field("pairs_csv", o.pairs_csv, "also write the differences here, as CSV").value("FILE").not_recorded();
  describe(v, o.gates,
           "'top1.low >= 0.95' of every run, 'b.top1 - a.top1 > 0', 'b_vs_a.p_adjusted < 0.05', "
           "'worst.COLUMN.top1 >= 90%'; the names are those of --json, one with blanks in [\"…\"]: by.COLUMN[\"web "
           "cam\"].top1");
  describe(v, o.common);
}

}  // namespace engraft::commands
