#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "io/atomic_file.h"
#include "report/comparison.h"
#include "report/gate.h"
#include "report/predictions.h"

namespace engraft::commands {

ExitCode run(const CompareOptions& options, Session& session) {
  for (const std::string& gate : options.gates.gate) report::Gate parsed(gate);  // for what it throws, before any work
  std::vector<report::Predictions> runs;
  for (const std::string& path : options.run) runs.push_back(report::read_predictions(path));
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
