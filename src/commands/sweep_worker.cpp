#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "sweep/state.h"
#include "sweep/work.h"

namespace engraft::commands {

ExitCode run_worker(const SweepOptions& options, Session& session) {
  const sweep::Plan plan = sweep::read_plan(options.out);
  if (plan.trials.empty()) throw DataError(options.out + ": no sweep (plan.json)");
  sweep::WorkOptions work;
  work.threads = options.threads;

  work.stops_first = options.stop_first;
  work.models = options.models;
  work.group = options.group;
  work.cache_dir = options.cache_dir;
  work.cache_limit = options.cache_limit;
  sweep::work(options.out, plan, work, session.reporter, [&](size_t place) {
    if (!options.common.json) return;
    session.out << io::json_line(sweep::trial_json(options.out, plan, place)) << "\n";
    session.out.flush();
  });
  return ExitCode::kDone;
}

}  // namespace engraft::commands
