#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "sweep/claim.h"
#include "sweep/plan.h"

namespace engraft::sweep {

// What lies in a sweep's folder (src/store/FORMAT.md): plan.json, trials/ID, groups/ID with claims, results.csv.

/// A trial's folder: a run's, with result.json where it is done, or error.json where it failed.
std::string trial_folder(const std::string& sweep, const std::string& id);
/// Where whoever holds the claim with `token` works on a trial until its folder is published.
std::string work_folder(const std::string& sweep, const std::string& id, const std::string& token);
/// The same, with what another one left of the trial in it, if there is any: from now on theirs has another name, so
/// that one that is late writes nowhere. Throws SystemError.
std::string take_work_folder(const std::string& sweep, const std::string& id, const std::string& token);
/// Where a group's claim lies.
std::string group_folder(const std::string& sweep, const std::string& id);

enum class TrialState { kWaiting, kRunning, kDone, kFailed };
std::string to_text(TrialState state);

/// Done or failed; kWaiting else, whoever may work on it.
TrialState ended_state(const std::string& sweep, const std::string& id);

/// Makes a finished work folder the trial's. Where another process did before, `work` is removed, theirs stays, and
/// this is false; a folder that holds neither a result nor an error, such as one that was half removed, gives way.
/// Throws SystemError.
bool publish(const std::string& sweep, const std::string& id, const std::string& work);

/// Lets what failed be run again: how many there were.
int64_t forget_failures(const std::string& sweep, const Plan& plan);

/// Takes away what killed workers left half done of trials that ended meanwhile.
void remove_leftovers(const std::string& sweep);

/// Where a sweep stands.
struct Status {
  int64_t waiting = 0, running = 0, done = 0, failed = 0;
  /// "host, process 1: 64 trials".
  std::vector<std::string> workers;
  int64_t total() const { return waiting + running + done + failed; }
};
Status status_of(const std::string& sweep, const Plan& plan, const ClaimOptions& claims = {});

/// What results call a trial that is done and that halving ended before its last epoch.
inline constexpr const char* kHalved = "halved";

/// One trial as results have it: {"trial", "number" (from 1), "state", "params", and where it is done "rows", its
/// metric and "right" (of shares), "loss" (six digits), "epoch", "epochs" (of its last stage, that it learned); where
/// it failed, or its result cannot be read ("damaged"), "error"}. Nothing in it depends on time.
io::Json trial_json(const std::string& sweep, const Plan& plan, size_t place);

/// All of them, the best first (as epochs are compared: the metric, then the loss), then those that were halved away,
/// the best first, then those that are not done, in the plan's order.
std::vector<io::Json> results_of(const std::string& sweep, const Plan& plan);

/// A table of results_of: trial, state, a column for each option that varies, the figures, error.
std::string results_csv(const std::vector<io::Json>& results, const std::vector<std::string>& varied);
/// The `most` first for a person.
std::string results_text(const std::vector<io::Json>& results, const std::vector<std::string>& varied, size_t most);

}  // namespace engraft::sweep
