#include <nlohmann/json.hpp>

#include "commands/commands.h"
#include "finetune/run.h"
#include "options/schema.h"

namespace engraft::commands {

ExitCode run(const TrainOptions& options, Session& session) {
  TrainOptions recorded = options;
  options::Schema schema;
  describe(schema, recorded);
  const finetune::TrainResult result =
      finetune::run_training(options.train, options.out, schema.record(), session.reporter);
  session.out << (options.common.json ? result.result_json + "\n" : result.summary);
  return ExitCode::kDone;
}

}  // namespace engraft::commands
