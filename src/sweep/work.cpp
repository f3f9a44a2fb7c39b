#include "sweep/work.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/stop.h"
#include "base/text.h"
#include "finetune/head_runs.h"
#include "finetune/run.h"
#include "io/atomic_file.h"
#include "io/toml.h"
#include "options/schema.h"
#include "store/checkpoint.h"
#include "store/run_folder.h"
#include "sweep/state.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

constexpr double kNap_s = 0.1;

bool mixes(const finetune::TrainOptions& options) {
  const auto& stages = options.stage;
  return options.optimizer.mixup > 0 || options.optimizer.cutmix > 0 ||
         std::any_of(stages.begin(), stages.end(), [](const std::string& stage) {
           return stage.find("mixup") != std::string::npos || stage.find("cutmix") != std::string::npos;
         });
}

/// Throws DataError where what the group learns from is not on this machine: then another one may have it.
void require_inputs(const Trial& trial) {
  for (const char* name : {"backbone", "teacher", "data"}) {
    const std::string path = trial.options.at(name);
    const bool is_pattern = path.find('{') != std::string::npos;
    if (path.empty() || is_pattern || text::starts_with(path, "new:") || fs::exists(path)) continue;
    throw DataError(path + ": is not there (" + name + " of trial " + trial.id + ")");
  }
}

/// No trial's own matter: none that is planned for what was there can be run any more.
struct ChangedInputs : DataError {
  using DataError::DataError;
};

class Worker {
 public:
  Worker(const std::string& sweep, const Plan& plan, const WorkOptions& options, Reporter& reporter,
         const std::function<void(size_t)>& on_trial)
      : sweep_(sweep), plan_(plan), options_(options), reporter_(reporter), on_trial_(on_trial) {}

  void run() {
    const auto is_wanted = [&](const Group& group) { return group.id == options_.group; };
    if (!options_.group.empty() && std::none_of(plan_.groups.begin(), plan_.groups.end(), is_wanted))
      throw DataError(sweep_ + ": its plan has no group " + options_.group);
    while (true) {
      if (is_over()) break;
      const bool did = run_one();
      if (did) continue;
      if (options_.group.empty() || !others_work_) break;
      // A task of an array is this group's alone: if the one that holds it dies, there is no other.
      for (double waited = 0; waited < options_.poll_s; waited += kNap_s) {
        throw_if_stopped("waiting for another worker");
        std::this_thread::sleep_for(std::chrono::duration<double>(kNap_s));
      }
    }
  }

 private:
  /// Whether a trial failed since this worker began, by it or another, where that ends the sweep.
  bool is_over() {
    if (!options_.stops_first) return false;
    const int64_t now = status_of(sweep_, plan_, options_.claims).failed;
    if (failed_before_ < 0) failed_before_ = now;
    return now > failed_before_;
  }

  /// One group, if any is left that nobody works on.
  bool run_one() {
    others_work_ = false;
    std::vector<const Group*> left;
    for (const Group& group : plan_.groups) {
      if ((options_.group.empty() || group.id == options_.group) && !waiting_in(group).empty()) left.push_back(&group);
    }
    std::stable_partition(left.begin(), left.end(), [&](const Group* group) { return group->features == features_; });
    for (const Group* group : left) {
      throw_if_stopped("sweeping");
      require_inputs(plan_.trials[group->trials.front()]);
      const std::unique_ptr<Claim> claim = Claim::take(group_folder(sweep_, group->id), options_.claims);
      if (claim == nullptr) {
        others_work_ = true;
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
    run_singles(group, claim);
  }

  void run_singles(const Group& group, const Claim& claim) {
    for (const size_t place : waiting_in(group)) {
      if (is_over()) return;
      run_single(place, claim);
    }
  }

  finetune::TrainOptions options_of(const Trial& trial) const {
    finetune::TrainOptions options;
    options::Schema schema;
    describe(schema, options);
    schema.apply(trial.options, "trial " + trial.id);
    // Other groups and workers take it from there; of mixed pictures there is nothing to be kept.
    if (!mixes(options)) options.cache.cache = "disk";
    options.cache.cache_dir = options_.cache_dir.empty() ? sweep_ + "/cache" : options_.cache_dir;
    options.cache.cache_limit = options_.cache_limit;
    if (options_.threads > 0) options.compute.threads = options_.threads;
    return options;
  }

  std::string work_of(size_t place, const Claim& claim) const {
    return work_folder(sweep_, plan_.trials[place].id, claim.token());
  }

  /// All of the group's trials, those that are done as well, so that what a stack gives does not depend on where one
  /// before it was cut off.
  void run_stack(const Group& group, const Claim& claim) {
    std::vector<finetune::HeadRun> runs;
    for (const size_t place : group.trials)
      runs.push_back({options_of(plan_.trials[place]), plan_.trials[place].options, work_of(place, claim),
                      ended_state(sweep_, plan_.trials[place].id) != TrialState::kWaiting});
    bool is_done = true, is_foreign = false;
    const std::string failure = failure_of(
        [&] {
          is_done = finetune::run_heads(runs, plan_.halves, reporter_, [&](size_t run, const std::string& why) {
            end(group.trials[run], why, claim);
          });
        },
        &is_foreign);
    if (!failure.empty() && is_foreign) {
      reporter_.warn(text::cat("group ", group.id, ": ", failure, "; one head after another instead"));
      return run_singles(group, claim);
    }
    if (!is_done) {
      reporter_.note("the features fit neither into memory nor into the cache on disk: one head after another");
      return run_singles(group, claim);
    }
    if (failure.empty()) return;
    for (const size_t place : waiting_in(group)) end(place, failure, claim);
  }

  void run_single(size_t place, const Claim& claim) {
    const Trial& trial = plan_.trials[place];
    finetune::TrainOptions options = options_of(trial);
    const std::string work = take_work_folder(sweep_, trial.id, claim.token());
    const auto train = [&] { finetune::run_training(options, work, trial.options, reporter_); };
    std::string failure;
    if (!fs::exists(work + "/" + kResultFile)) {  // else it was only to be published
      options.resume = fs::exists(work);
      failure = failure_of(train);
      if (options.resume && !failure.empty()) {  // by another machine or number of threads it cannot be gone on with
        reporter_.note("trial " + trial.id + ": from the beginning, since " + failure);
        fs::remove_all(work);
        options.resume = false;
        failure = failure_of(train);
      }
    }
    if (failure.empty()) {
      store::remove_checkpoints(work);  // it may have been killed between its result and that
      store::remove_temporaries(work);
    }
    if (options_.models == "none") fs::remove(work + "/model.pt");
    end(place, failure, claim);
  }

  /// Why `run` did not come to its end, which is its own matter; empty where it did. `is_foreign`: whether that is
  /// LibTorch's word or the machine's, and not ours.
  template <class Run>
  static std::string failure_of(const Run& run, bool* is_foreign = nullptr) {
    const auto foreign = [&](const std::string& why) {
      if (is_foreign != nullptr) *is_foreign = true;
      return why;
    };
    try {
      run();
      return "";
    } catch (const Stopped& stopped) {
      throw Stopped(stopped.code(), "stopped by a signal; the same sweep goes on");
    } catch (const SystemError&) {
      throw;
    } catch (const ChangedInputs&) {
      throw;
    } catch (const fs::filesystem_error& error) {
      throw SystemError(error.what());
    } catch (const Error& error) {
      return error.what();
    } catch (const c10::Error& error) {
      return foreign("LibTorch: " + text::split(error.what_without_backtrace(), '\n').front());
    } catch (const std::bad_alloc&) {
      return foreign("out of memory");
    } catch (const std::exception& error) {
      return foreign(error.what());
    }
  }

  void end(size_t place, const std::string& failure, const Claim& claim) {
    const Trial& trial = plan_.trials[place];
    const std::string work = work_of(place, claim);
    if (claim.is_lost()) {
      fs::remove_all(work);
      throw SystemError("a group was taken over by another worker, since its claim was not renewed for too long");
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
    if (failure.empty()) require_planned_inputs(trial, work);
    if (!publish(sweep_, trial.id, work)) return;
    on_trial_(place);
  }

  /// Throws ChangedInputs where a result is not of what the trial was planned for.
  void require_planned_inputs(const Trial& trial, const std::string& work) const {
    const Inputs planned = planned_inputs(plan_, trial);
    const std::string backbone = io::read_toml(work + "/" + kRunFile).at("resolved").at("backbone_sha256");
    const std::string data = io::read_json(work + "/" + kResultFile).at("data_digest");
    const bool is_other_data = !planned.data_digest.empty() && data != planned.data_digest;
    const bool is_other_backbone = !planned.backbone_sha256.empty() && backbone != planned.backbone_sha256;
    if (!is_other_data && !is_other_backbone) return;
    fs::remove_all(work);
    throw ChangedInputs(text::cat(trial.options.at(is_other_data ? "data" : "backbone").get<std::string>(),
                                  ": is not what it was when the sweep was planned (digest ",
                                  is_other_data ? data : backbone, ", expected ",
                                  is_other_data ? planned.data_digest : planned.backbone_sha256,
                                  "); the same command with the SPEC plans it anew"));
  }

  const std::string sweep_;
  const Plan& plan_;
  const WorkOptions options_;
  Reporter& reporter_;
  const std::function<void(size_t)>& on_trial_;
  std::string features_;  // of the group before
  int64_t failed_before_ = -1;
  bool others_work_ = false;  // on what this worker could take
};

}  // namespace

void work(const std::string& sweep, const Plan& plan, const WorkOptions& options, Reporter& reporter,
          const std::function<void(size_t place)>& on_trial) {
  Worker(sweep, plan, options, reporter, on_trial).run();
}

}  // namespace engraft::sweep
