#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "commands/commands.h"
#include "io/atomic_file.h"
#include "io/file_lock.h"
#include "report/table.h"
#include "store/out_folder.h"
#include "sweep/cost.h"
#include "sweep/plan.h"
#include "sweep/slurm.h"
#include "sweep/spec.h"
#include "sweep/state.h"
#include "sweep/workers.h"

namespace engraft::commands {

namespace {

namespace fs = std::filesystem;

constexpr size_t kShown = 10;  // of the results

sweep::Plan plan_of(const SweepOptions& options, Reporter& reporter) {
  sweep::Plan before = sweep::read_plan(options.out);
  if (options.spec.empty()) {
    if (before.trials.empty())
      throw UsageError("SPEC is missing (a TOML file: what to try), and " + options.out + " has no plan yet");
    return before;
  }
  return sweep::make_plan(sweep::parse_spec(io::read_file(options.spec), options.spec), options.spec, before, reporter);
}

/// What is left to be done.
io::Json cost_json(const sweep::Cost& cost) {
  io::Json out = {{"sets_of_features", cost.sets_of_features},
                  {"pictures", cost.pictures},
                  {"epochs_of_heads", cost.epochs_of_heads},
                  {"staged", cost.staged}};
  if (cost.seconds) out["seconds"] = *cost.seconds;
  return out;
}

std::string cost_text(const sweep::Cost& cost, const sweep::Status& status) {
  if (status.running + status.waiting == 0) return "";
  std::string out = text::cat(
      "  to be done: ", text::count_of(cost.sets_of_features, "set"), " of features",
      cost.pictures > 0
          ? text::cat(", ", text::count_of(cost.pictures, "picture"), " through the network unless a cache has them")
          : "",
      "; ", text::count_of(cost.epochs_of_heads, "epoch"), " of heads on them",
      cost.staged > 0 ? text::cat("; ", text::count_of(cost.staged, "training"), " with stages of blocks") : "", "\n");
  if (cost.seconds) {
    const auto workers = static_cast<double>(std::max<size_t>(1, status.workers.size()));
    out += text::cat("  that is some ", text::duration(*cost.seconds / workers), " at the pace of what is done",
                     workers > 1 ? text::cat(", by ", status.workers.size(), " workers") : "", "\n");
  }
  return out;
}

io::Json plan_json(const sweep::Plan& plan, const sweep::Status& status, const sweep::Cost& cost) {
  int64_t stacks = 0, single = 0;
  for (const sweep::Group& group : plan.groups) ++(group.is_stack ? stacks : single);
  return {{"trials", plan.trials.size()}, {"repeated", plan.repeated}, {"varied", plan.varied},
          {"groups", plan.groups.size()}, {"stacks", stacks},          {"single", single},
          {"left", cost_json(cost)},      {"done", status.done},       {"failed", status.failed},
          {"waiting", status.waiting},    {"running", status.running}};
}

std::string plan_text(const sweep::Plan& plan, const sweep::Status& status, const sweep::Cost& cost) {
  const io::Json all = plan_json(plan, status, cost);
  const auto number = [&](const char* key) { return all.at(key).get<int64_t>(); };
  std::string out = text::count_of(number("trials"), "trial");
  if (!plan.varied.empty()) out += " over " + text::join(plan.varied, ", ");
  if (plan.repeated > 0) out += text::cat("; ", plan.repeated, " more are repetitions and run once");
  out += text::cat("\n  ", text::count_of(number("stacks"), "stack"), " of heads that learn together, at most ",
                   sweep::kMostHeads, " each, and ", text::count_of(number("single"), "single training"), "\n",
                   cost_text(cost, status));
  if (status.done + status.failed > 0)
    out += text::cat("  done before: ", status.done, ", failed before: ", status.failed, "\n");
  std::vector<std::vector<std::string>> rows = {{"group", "", "trials", "features", "first trial"}};
  for (const sweep::Group& group : plan.groups) {
    rows.push_back({group.id, group.is_stack ? "stack" : "single", std::to_string(group.trials.size()),
                    group.features.substr(0, 8), plan.trials[group.trials.front()].varied.dump()});
  }
  constexpr size_t kMostRows = 40;
  const size_t left_out = rows.size() > kMostRows + 1 ? rows.size() - kMostRows - 1 : 0;
  rows.resize(rows.size() - left_out);
  return out + "\n" + report::table_text(rows) + (left_out > 0 ? text::cat("… and ", left_out, " more\n") : "");
}

std::string status_text(const sweep::Status& status) {
  std::string out = text::cat(status.total(), " trials: ", status.done, " done, ", status.failed, " failed, ",
                              status.running, " running, ", status.waiting, " waiting\n");
  for (const std::string& worker : status.workers) out += "  " + worker + "\n";
  return out;
}

io::Json status_json(const sweep::Status& status, const sweep::Cost& cost) {
  return {{"trials", status.total()}, {"left", cost_json(cost)},   {"done", status.done},
          {"failed", status.failed},  {"running", status.running}, {"waiting", status.waiting},
          {"workers", status.workers}};
}

ExitCode look(const SweepOptions& options, const sweep::Plan& plan, Session& session) {
  const sweep::Status status = sweep::status_of(options.out, plan);
  if (options.results) {
    const std::vector<io::Json> results = sweep::results_of(options.out, plan);
    if (!options.common.json) session.out << sweep::results_csv(results, plan.varied);
    for (const io::Json& result : results) {
      if (options.common.json) session.out << io::json_line(result) << "\n";
    }
    return ExitCode::kDone;
  }
  const sweep::Cost cost = sweep::cost_of(options.out, plan);
  if (options.status) {
    session.out << (options.common.json ? io::json_line(status_json(status, cost)) + "\n"
                                        : status_text(status) + cost_text(cost, status));
  } else {
    session.out << (options.common.json ? io::json_line(plan_json(plan, status, cost)) + "\n"
                                        : plan_text(plan, status, cost));
  }
  return ExitCode::kDone;
}

bool is_stack_of_many(const sweep::Group& group) { return group.is_stack && group.trials.size() > 1; }

/// Throws UsageError for a folder that is something else's: a run would be hidden behind the sweep.
void require_sweep_folder(const SweepOptions& options) {
  std::error_code unknown;
  const bool is_ours =
      fs::exists(options.out + "/plan.json", unknown) || fs::exists(options.out + "/plan.lock", unknown);
  if (!is_ours) store::require_free_folder(options.out);
  if (!is_ours && options.spec.empty())
    throw UsageError("SPEC is missing (a TOML file: what to try), and " + options.out + " has no plan yet");
}

/// What a person may want to do next.
std::string hints(const std::string& out, const sweep::Plan& plan, const sweep::Status& status,
                  const std::vector<io::Json>& results) {
  std::string text;
  if (status.failed > 0) text += "--retry-failed runs again what failed\n";
  if (results.empty() || results.front().at("state") != sweep::to_text(sweep::TrialState::kDone)) return text;
  const std::string trial = results.front().at("trial"), folder = sweep::trial_folder(out, trial);
  if (std::count(plan.varied.begin(), plan.varied.end(), "seed") > 0)
    text += text::cat("the first of many seeds is a lucky one: engraft compare ", out, " --pairs best averages them\n");
  if (!fs::exists(folder + "/model.pt"))
    text += text::cat("a model.pt of the first: engraft train --config ", folder, "/run.toml --out ", trial, "\n");
  return text;
}

/// The command line of one worker of this sweep, but for its threads.
std::vector<std::string> worker_command(const SweepOptions& options) {
  const std::string out = fs::absolute(options.out).lexically_normal();
  std::vector<std::string> command = {fs::read_symlink("/proc/self/exe"),
                                      "sweep",
                                      "--worker",
                                      "--quiet",
                                      "--out",
                                      out,
                                      "--models",
                                      options.models,
                                      "--cache-limit",
                                      text::shortest(options.cache_limit)};
  if (!options.cache_dir.empty()) command.insert(command.end(), {"--cache-dir", options.cache_dir});

  if (options.stop_first) command.emplace_back("--stop-first");
  if (options.common.json) command.emplace_back("--json");
  return command;
}

/// The cores of this machine shared evenly, or what --threads says.
int64_t threads_of_each(const SweepOptions& options) {
  const auto cores = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  return options.threads > 0 ? options.threads : std::max<int64_t>(1, cores / options.workers);
}

ExitCode submit(const SweepOptions& options, const sweep::Plan& plan, Session& session) {
  sweep::SlurmOptions slurm;
  slurm.command = worker_command(options);
  slurm.settings = options.slurm;
  slurm.at_once = options.at_once;
  slurm.threads = options.threads;
  const std::string script = sweep::slurm_script(options.out, plan, slurm);
  if (script.empty()) {
    session.out << options.out << ": nothing is left to be done\n";
    return ExitCode::kDone;
  }
  const std::string job = sweep::submit_to_slurm(options.out, script);
  if (options.common.json) {
    session.out << io::json_line(io::Json{{"job", job}}) << "\n";
  } else {
    session.out << "job " << job << ": " << options.out << "/slurm/job.sh; engraft sweep --out " << options.out
                << " --status says how far it is\n";
  }
  return ExitCode::kDone;
}

}  // namespace

ExitCode run(const SweepOptions& options, Session& session) {
  if (options.dry_run + options.status + options.results > 1)
    throw UsageError("--dry-run, --status and --results are three looks; give one of them");
  if (options.submit != "slurm" && (!options.slurm.empty() || options.at_once > 0))
    throw UsageError("--slurm and --at-once belong to --submit slurm");
  if (options.submit == "slurm" && options.workers > 1)
    throw UsageError("--workers are processes on this machine; how many tasks of an array run at once says --at-once");
  sweep::Plan plan;
  if (options.dry_run || options.status || options.results) {
    plan = options.dry_run ? plan_of(options, session.reporter) : sweep::read_plan(options.out);
    if (plan.trials.empty()) throw DataError(options.out + ": no sweep (plan.json)");
    plan.halves = plan.halves || options.halving;
    return look(options, plan, session);
  }
  require_sweep_folder(options);
  io::make_folders(options.out);
  {
    const io::FileLock lock(options.out + "/plan.lock");  // of several that begin at once, one after another extends it
    plan = plan_of(options, session.reporter);
    if (!sweep::read_plan(options.out).trials.empty() && plan.halves != options.halving) {
      throw UsageError(text::cat(options.out, ": was begun with", plan.halves ? "" : "out",
                                 " --halving, which is a matter of the whole sweep"));
    }
    plan.halves = options.halving;
    if (!options.spec.empty()) sweep::write_plan(options.out, plan);
  }
  if (options.retry_failed) {
    const int64_t again = sweep::forget_failures(options.out, plan);
    session.reporter.note(text::cat("failed before and run again: ", again));
  }
  if (options.halving && std::none_of(plan.groups.begin(), plan.groups.end(), is_stack_of_many)) {
    session.reporter.warn(
        "--halving ends no trial: no two heads learn together; they do where they differ in rates, "
        "their schedule, decay, dropout's probability and patience alone");
  }
  if (options.submit == "slurm") return submit(options, plan, session);
  sweep::WorkersOptions workers;
  workers.count = options.workers;
  workers.command = worker_command(options);
  workers.command.insert(workers.command.end(), {"--threads", std::to_string(threads_of_each(options))});
  workers.stops_first = options.stop_first;
  sweep::run_workers(options.out, plan, workers, session.reporter);

  sweep::remove_leftovers(options.out);
  const std::vector<io::Json> results = sweep::results_of(options.out, plan);
  io::write_file(options.out + "/results.csv", sweep::results_csv(results, plan.varied));
  const sweep::Status status = sweep::status_of(options.out, plan);
  if (!options.common.json) {
    session.out << sweep::results_text(results, plan.varied, kShown) << status_text(status)
                << (fs::path(options.out) / "results.csv").lexically_normal().string() << " has all of them\n"
                << hints(options.out, plan, status, results);
  }
  return status.failed > 0 ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace engraft::commands
