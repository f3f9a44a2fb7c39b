#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "commands/commands.h"
#include "io/atomic_file.h"
#include "report/comparison.h"
#include "report/gate.h"
#include "report/predictions.h"
#include "sweep/plan.h"
#include "sweep/state.h"

namespace engraft::commands {

namespace {

/// The path itself, or the trials of a sweep that are done; says which others there are.
std::vector<std::string> runs_in(const std::string& path, Reporter& reporter) {
  const sweep::Plan plan = sweep::read_plan(path);
  if (plan.trials.empty()) return {path};
  std::vector<std::string> runs;
  std::map<std::string, int64_t> others;  // by their state
  for (size_t place = 0; place < plan.trials.size(); ++place) {
    const std::string state = sweep::trial_json(path, plan, place).at("state");
    if (state == sweep::to_text(sweep::TrialState::kDone)) {
      runs.push_back(std::filesystem::path(sweep::trial_folder(path, plan.trials[place].id)).lexically_normal());
    } else {
      ++others[state];
    }
  }
  std::vector<std::string> left_out;
  for (const auto& [state, count] : others) left_out.push_back(text::cat(count, " ", state));
  if (runs.empty()) throw DataError(path + ": a sweep of which no trial is done: " + text::join(left_out, ", "));
  if (!left_out.empty()) {
    reporter.warn(text::cat(path, ": of ", plan.trials.size(), " trials ", runs.size(), " are compared, and not ",
                            text::join(left_out, ", ")));
  }
  return runs;
}

}  // namespace

ExitCode run(const CompareOptions& options, Session& session) {
  for (const std::string& gate : options.gates.gate) report::Gate parsed(gate);  // for what it throws, before any work
  std::vector<report::Predictions> runs;
  for (const std::string& path : options.run) {
    for (const std::string& run : runs_in(path, session.reporter)) runs.push_back(report::read_predictions(run));
  }
  report::ComparisonOptions wanted;
  wanted.confidence = options.gates.confidence;
  wanted.pairs = options.pairs;
  wanted.each_seed = options.each_seed;
  wanted.by = options.gates.by;
  wanted.resamples = options.resamples;
  wanted.seed = static_cast<uint64_t>(options.seed);
  io::Json comparison = report::compare(runs, wanted);

  std::vector<std::pair<std::string, io::Json>> each;
  for (const io::Json& run : comparison.at("runs")) each.emplace_back(run.at("run").get<std::string>(), run);
  const auto findings = report::check_gates(options.gates.gate, report::gate_figures(comparison), each);
  if (!findings.empty()) comparison["asserts"] = report::to_json(findings);
  if (!options.csv.empty()) io::write_file(options.csv, report::runs_csv(comparison));
  if (!options.pairs_csv.empty()) io::write_file(options.pairs_csv, report::pairs_csv(comparison));
  if (options.common.json) {
    session.out << io::json_line(comparison) << "\n";
  } else {
    session.out << report::comparison_text(comparison) << report::findings_text(findings);
  }
  return report::are_met(findings) ? ExitCode::kDone : ExitCode::kGateNotMet;
}

}  // namespace engraft::commands
