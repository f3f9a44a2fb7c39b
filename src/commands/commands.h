#pragma once

#include <ostream>
#include <string>

#include "base/errors.h"
#include "base/report.h"
#include "commands/bench_options.h"
#include "commands/compare_options.h"
#include "commands/embed_options.h"
#include "commands/evaluate_options.h"
#include "commands/example_options.h"
#include "commands/export_options.h"
#include "commands/inspect_options.h"
#include "commands/predict_options.h"
#include "commands/scan_options.h"
#include "commands/sweep_options.h"
#include "commands/train_options.h"

namespace engraft::commands {

/// Where a command talks: results go to `out` (the program's stdout), progress and notes to `reporter`.
struct Session {
  std::ostream& out;
  Reporter& reporter;
};

// Each command: options in, result out. They print their result to session.out, one JSON value where
// options.common.json, and return kDone, kTooManyBad or kGateNotMet; everything else that ends a command is an Error
// thrown.

/// Blocks, shapes, parameters, share of the work and legal cuts of a backbone; the content of a model.pt, a feature
/// store or a run.
ExitCode run(const InspectOptions& options, Session& session);
/// A feature store from pictures.
ExitCode run(const EmbedOptions& options, Session& session);
/// A run folder with model.pt.
ExitCode run(const TrainOptions& options, Session& session);
/// How far a model gets a split right.
ExitCode run(const EvaluateOptions& options, Session& session);
/// One line a picture.
ExitCode run(const PredictOptions& options, Session& session);
/// Which block of a backbone suits a data set.
ExitCode run(const ScanOptions& options, Session& session);
/// Many trainings from one SPEC: plans, starts workers, looks; needs no LibTorch.
ExitCode run(const SweepOptions& options, Session& session);
/// One worker of a sweep, for --worker: the part that trains.
ExitCode run_worker(const SweepOptions& options, Session& session);
/// Runs side by side, from their files alone.
ExitCode run(const CompareOptions& options, Session& session);
/// The backbone of a model.pt as a file of its own.
ExitCode run(const ExportOptions& options, Session& session);
/// Ceilings of the machine, times of each stage from file to embedding, and of all together.
ExitCode run(const BenchOptions& options, Session& session);
/// Drawn pictures and a tiny random backbone, to try the program on.
ExitCode run(const ExampleOptions& options, Session& session);

}  // namespace engraft::commands
