#include "sweep/work.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/stop.h"
#include "base/text.h"
#include "finetune/head_runs.h"
#include "finetune/run.h"
#include "io/atomic_file.h"
#include "io/toml.h"
#include "options/schema.h"
#include "sweep/state.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

class Worker {
 public:
  Worker(const std::string& sweep, const Plan& plan, const WorkOptions& options, Reporter& reporter,
         const std::function<void(size_t)>& on_trial)
      : sweep_(sweep), plan_(plan), options_(options), reporter_(reporter), on_trial_(on_trial) {}

  Worked run() {
    while (run_one()) {
      if (options_.stops_first && worked_.failed > 0) break;
    }
    return worked_;
  }

 private:
  /// One group, if any is left that nobody works on.
  bool run_one() {
    worked_.others_work = false;
    std::vector<const Group*> left;
    for (const Group& group : plan_.groups) {
      if ((options_.group.empty() || group.id == options_.group) && !waiting_in(group).empty()) left.push_back(&group);
    }
    std::stable_partition(left.begin(), left.end(), [&](const Group* group) { return group->features == features_; });
    for (const Group* group : left) {
      throw_if_stopped("sweeping");
      const std::unique_ptr<Claim> claim = Claim::take(group_folder(sweep_, group->id), options_.claims);
      if (claim == nullptr) {
        worked_.others_work = true;
        continue;
      }
      if (waiting_in(*group).empty()) continue;  // somebody ended it between the look and the claim
      if (claim->lost_before() > 0)
        reporter_.note(text::cat("group ", group->id, ": taken over from a worker that is gone"));
      run_group(*group, *claim);
      features_ = group->features;
      return true;
    }
    return false;
  }

  std::vector<size_t> waiting_in(const Group& group) const {
    std::vector<size_t> waiting;
    for (const size_t place : group.trials) {
      if (ended_state(sweep_, plan_.trials[place].id) == TrialState::kWaiting) waiting.push_back(place);
    }
    return waiting;
  }

  void run_group(const Group& group, const Claim& claim) {
    if (group.is_stack) return run_stack(group, claim);
    for (const size_t place : waiting_in(group)) {
      run_single(place, claim);
      if (options_.stops_first && worked_.failed > 0) return;
    }
  }

  finetune::TrainOptions options_of(const Trial& trial) const {
    finetune::TrainOptions options;
    options::Schema schema;
    describe(schema, options);
    schema.apply(trial.options, "trial " + trial.id);
    options.cache.cache = "disk";  // other groups and workers take it from there
    options.cache.cache_dir = options_.cache_dir.empty() ? sweep_ + "/cache" : options_.cache_dir;
    options.cache.cache_limit = options_.cache_limit;
    if (options_.threads > 0) options.compute.threads = options_.threads;
    return options;
  }

  std::string work_of(size_t place) const { return work_folder(sweep_, plan_.trials[place].id); }

  /// All of the group's trials, those that are done as well, so that what a stack gives does not depend on where one
  /// before it was cut off.
  void run_stack(const Group& group, const Claim& claim) {
    std::vector<finetune::HeadRun> runs;
    for (const size_t place : group.trials)
      runs.push_back({options_of(plan_.trials[place]), plan_.trials[place].options, work_of(place)});
    try {
      finetune::run_heads(runs, options_.halves, reporter_,
                          [&](size_t run, const std::string& failure) { end(group.trials[run], failure, claim); });
    } catch (const Stopped&) {
      throw;
    } catch (const Error& error) {
      for (const size_t place : waiting_in(group)) end(place, error.what(), claim);
    }
  }

  void run_single(size_t place, const Claim& claim) {
    const Trial& trial = plan_.trials[place];
    finetune::TrainOptions options = options_of(trial);
    options.resume = true;  // where a worker before this one was cut off
    const std::string work = work_of(place);
    std::string failure;
    try {
      finetune::run_training(options, work, trial.options, reporter_);
      if (options_.models == "none") fs::remove(work + "/model.pt");
    } catch (const Stopped&) {
      throw;
    } catch (const Error& error) {
      failure = error.what();
    }
    end(place, failure, claim);
  }

  void end(size_t place, const std::string& failure, const Claim& claim) {
    const Trial& trial = plan_.trials[place];
    const std::string work = work_of(place);
    if (claim.is_lost()) {
      fs::remove_all(work);
      throw SystemError("group taken over by another worker, since the claim was not renewed for too long");
    }
    if (ended_state(sweep_, trial.id) != TrialState::kWaiting) {  // of a stack that is done again for the others
      fs::remove_all(work);
      return;
    }
    if (!failure.empty()) {
      fs::remove_all(work);
      io::make_folders(work);
      io::write_file(work + "/" + kRunFile, io::to_toml(trial.options));
      io::write_json(work + "/error.json", io::Json{{"error", failure}});
      reporter_.warn("trial " + trial.id + ": " + failure);
    }
    publish(sweep_, trial.id, work);
    ++(failure.empty() ? worked_.done : worked_.failed);
    on_trial_(place);
  }

  const std::string sweep_;
  const Plan& plan_;
  const WorkOptions options_;
  Reporter& reporter_;
  const std::function<void(size_t)>& on_trial_;
  std::string features_;  // of the group before
  Worked worked_;
};

}  // namespace

Worked work(const std::string& sweep, const Plan& plan, const WorkOptions& options, Reporter& reporter,
            const std::function<void(size_t place)>& on_trial) {
  return Worker(sweep, plan, options, reporter, on_trial).run();
}

}  // namespace engraft::sweep
