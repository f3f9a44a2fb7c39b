#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "commands/common_options.h"

namespace engraft::commands {

struct SweepOptions {
  std::string spec;
  std::string out;
  int64_t workers = 1;
  int64_t threads = 0;
  bool halving = false;
  std::string models = "none";
  bool stop_first = false;
  bool retry_failed = false;
  bool dry_run = false;
  bool status = false;
  bool results = false;
  std::string submit;
  std::vector<std::string> slurm;
  int64_t at_once = 0;
  std::string cache_dir;
  double cache_limit = 20;
  bool worker = false;
  std::string group;
  CommonOptions common;
};

template <class Visitor>
void describe(Visitor& v, SweepOptions& o) {
  v.field("spec", o.spec, "what to try: a TOML file with [base], [grid], [random], [[trial]]; names are train's flags")
      .value("SPEC")
      .positional();
  v.field("out", o.out, "the sweep's folder; one that is there is gone on with, and takes what is new in the SPEC")
      .value("DIR")
      .required();
  v.field("halving", o.halving,
          "successive halving of heads that learn together: after an eighth, a quarter and a half of the epochs the "
          "better half goes on");
  v.field("models", o.models,
          "whether trials with stages keep their model.pt; heads trained in a stack have head.safetensors, and train "
          "--config TRIAL/run.toml makes a model.pt of either")
      .one_of({"none", "all"});
  v.group("Looking");
  v.field("dry_run", o.dry_run, "print the plan and what it takes, and do nothing");
  v.field("status", o.status, "how many trials are done, failed, running, waiting, and who works");
  v.field("results", o.results, "the table of all trials, the best first, as CSV; with --json a line of JSON each");
  v.group("Working");
  v.field("workers", o.workers, "processes on this machine; any number of machines may work on one folder")
      .at_least(1)
      .at_most(1024);
  v.field("threads", o.threads, "compute threads of each; 0: the cores shared evenly").at_least(0).at_most(1024);
  v.field("stop_first", o.stop_first, "end after the first trial that fails; else the others go on");
  v.field("retry_failed", o.retry_failed, "run again what failed before");
  v.field("cache_dir", o.cache_dir, "where features and activations are kept between trials; default: DIR/cache")
      .value("DIR");
  v.field("cache_limit", o.cache_limit, "GiB that these may take").value("GIB").at_least(0);
  v.group("On a cluster");
  v.field("submit", o.submit,
          "local: worker processes here, as without it; slurm: an array job by sbatch, one task a group of trials, "
          "queued again where it was stopped")
      .value("WHERE")
      .one_of({"local", "slurm"});
  v.field("slurm", o.slurm, "a setting for sbatch, such as --slurm=--partition=gpu").value("SETTING");
  v.field("at_once", o.at_once, "tasks of the array that run at the same time at most; 0: as many as Slurm lets")
      .at_least(0);
  v.group("One worker, as started by the above");
  v.field("worker", o.worker, "be one worker, and start none");
  v.field("group", o.group, "with --worker: this group of the plan alone").value("ID");
  describe(v, o.common);
}

}  // namespace engraft::commands
