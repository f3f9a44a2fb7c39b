#include "sweep/cost.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/run_files.h"
#include "io/json.h"
#include "sweep/state.h"

namespace engraft::sweep {

namespace {

/// Trials of one kind: how many are left, and what those that are done took.
struct Kind {
  int64_t left = 0, done = 0;
  double seconds = 0;

  bool is_known() const { return left == 0 || done > 0; }
  double seconds_left() const {
    return left == 0 ? 0 : seconds / static_cast<double>(done) * static_cast<double>(left);
  }
};

/// Of a trial that is done; 0 where that cannot be read.
double seconds_of(const std::string& folder) {
  try {
    return io::read_json(folder + "/" + kResultFile).at("seconds").get<double>();
  } catch (const Error&) {
    return 0;
  } catch (const nlohmann::json::exception&) {
    return 0;
  }
}

}  // namespace

Cost cost_of(const std::string& sweep, const Plan& plan) {
  Cost cost;
  Kind stacked, single;
  std::set<std::string> features;
  for (const Group& group : plan.groups) {
    Kind& kind = group.is_stack ? stacked : single;
    const int64_t left_before = kind.left;
    for (const size_t place : group.trials) {
      const Trial& trial = plan.trials[place];
      const TrialState state = ended_state(sweep, trial.id);
      if (state == TrialState::kDone) {
        ++kind.done;
        kind.seconds += seconds_of(trial_folder(sweep, trial.id));
      }
      if (state != TrialState::kWaiting) continue;
      ++kind.left;
      cost.staged += trial.options.at("stage").empty() ? 0 : 1;
      if (features.insert(group.features).second) cost.pictures += trial.pictures;
    }
    const int64_t left = kind.left - left_before;
    const auto epochs = plan.trials[group.trials.front()].options.at("epochs").get<int64_t>();
    cost.epochs_of_heads += group.is_stack && plan.halves ? epochs_when_halving(left, epochs) : left * epochs;
  }
  cost.sets_of_features = static_cast<int64_t>(features.size());
  if (stacked.done + single.done > 0 && stacked.is_known() && single.is_known())
    cost.seconds = stacked.seconds_left() + single.seconds_left();
  return cost;
}

}  // namespace engraft::sweep
