#pragma once

#include <string>
#include <type_traits>
#include <vector>

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

namespace engraft::app {

/// One sub-command as help shows it.
struct CommandInfo {
  const char* name;
  const char* summary;
  const char* examples;
};

inline constexpr CommandInfo kInspect = {
    "inspect",
    "Shows what a file holds: the blocks of a backbone with shapes, parameters and legal cuts; a model.pt; a "
    "feature store; a run.",
    "  engraft inspect inception.pt --size 299 --mean 0.5 --std 0.5\n"
    "  engraft inspect run/model.pt\n"};
inline constexpr CommandInfo kEmbed = {
    "embed", "Writes the features of pictures: .npy files with one row a picture, and index.csv that says which.",
    "  engraft embed --backbone googlenet.pt --data photos/ --out feats/\n"
    "  engraft embed --backbone inception.pt --data photos/ --out feats/ --tap mixed_7,mixed_8 --size 150\n"};
inline constexpr CommandInfo kTrain = {
    "train",
    "Trains a head on a pretrained backbone, then unfreezes its top blocks in stages; ends in one file, model.pt.",
    "  engraft train --backbone inception.pt --data photos/ --out run/\n"
    "  engraft train --backbone inception.pt --data photos/ --out run/ --tap mixed_7 --size 150 --pool flatten \\\n"
    "    --head fc=1024,relu,dropout=0.2 --stage unfreeze=mixed_7,epochs=10,optimizer=sgd,learning_rate=1e-5\n"
    "  engraft train --config transfer --backbone inception.pt --data photos/ --out run/\n"
    "\nRecipes for --config: linear-probe, transfer, practicum-1, practicum-2, practicum-3a, practicum-3b,\n"
    "inception-mini\n"};
inline constexpr CommandInfo kEvaluate = {
    "evaluate", "Says how far a model gets labelled pictures right.",
    "  engraft evaluate --model run/model.pt --data photos/\n"
    "  engraft evaluate --model run/model.pt --data photos/ --split test --json\n"};
inline constexpr CommandInfo kPredict = {
    "predict", "Says what is on pictures: one line each, as CSV or as JSON lines.",
    "  engraft predict --model run/model.pt holiday.jpg new-photos/\n"
    "  find . -name '*.jpg' | engraft predict --model run/model.pt --top 3 --json -\n"};
inline constexpr CommandInfo kScan = {
    "scan",
    "Reads every block of a backbone in one pass and probes it: which tap tells the classes apart (one class a "
    "picture), at what cost.",
    "  engraft scan --backbone inception.pt --data photos/\n"
    "  engraft scan --backbone inception.pt --data photos/ --taps mixed_6,mixed_7,mixed_8 --csv taps.csv\n"};
inline constexpr CommandInfo kSweep = {
    "sweep",
    "Runs many trainings from one file: grids, lists and draws over train's flags, on shared features; resumable.",
    "  engraft sweep heads.toml --out sweep/ --dry-run\n"
    "  engraft sweep heads.toml --out sweep/ --workers 2\n"
    "  engraft sweep --out sweep/ --results | head\n"
    "\nA SPEC:\n"
    "  [base]\n"
    "  backbone = \"inception.pt\"\n"
    "  data = \"photos\"\n"
    "  [grid]\n"
    "  learning_rate = [1e-3, 1e-2]\n"
    "  seed = [1, 2, 3]\n"};
inline constexpr CommandInfo kCompare = {
    "compare",
    "Sets runs beside each other: intervals, paired tests of their differences, slices; --assert makes a gate of it.",
    "  engraft compare run-1/ run-2/ run-3/\n"
    "  engraft compare sweep/ --pairs best\n"
    "  engraft compare run/ --assert 'top1.low >= 0.95'\n"
    "  engraft compare run-1/ run-2/ --by source --assert 'b.top1 - a.top1 > 0' --json\n"};
inline constexpr CommandInfo kBench = {
    "bench",
    "Measures what this machine can do at most, what each stage from file to embedding takes, and how near embed "
    "comes.",
    "  engraft bench\n"
    "  engraft bench --backbone googlenet.pt --data photos/\n"
    "  engraft bench --backbone inception.pt --data photos/ --tap mixed_7 --size 150 --precision f32 --json\n"};
inline constexpr CommandInfo kExport = {
    "export", "Writes the backbone of a model.pt as a file of its own, to embed with or to train on.",
    "  engraft export --model run/model.pt --out flowers-backbone.pt\n"
    "  engraft train --backbone flowers-backbone.pt --data other-photos/ --out run-2/\n"};
inline constexpr CommandInfo kExample = {
    "example", "Draws a small data set of textures and writes a tiny random backbone, to try the program on.",
    "  engraft example --out example/\n"
    "  engraft train --backbone example/tiny.pt --data example/pictures --out example/run\n"};

inline const std::vector<CommandInfo>& catalogue() {
  static const std::vector<CommandInfo> all = {kInspect, kEmbed,   kTrain,  kEvaluate, kScan,   kSweep,
                                               kCompare, kPredict, kExport, kBench,    kExample};
  return all;
}

/// Whether the command reads and writes files alone, so that the small program runs it.
template <class Options>
inline constexpr bool kIsLight =
    std::is_same_v<Options, commands::CompareOptions> || std::is_same_v<Options, commands::SweepOptions>;

/// A sweep's worker is the part that trains.
template <class Options>
bool is_heavy(const Options& options) {
  if constexpr (std::is_same_v<Options, commands::SweepOptions>) return options.worker;
  return !kIsLight<Options>;
}

/// Calls `visit(info, options)` with default options of command `name`; false for an unknown name.
template <class Visit>
bool with_command(const std::string& name, const Visit& visit) {
  if (name == kInspect.name) return visit(kInspect, commands::InspectOptions{}), true;
  if (name == kEmbed.name) return visit(kEmbed, commands::EmbedOptions{}), true;
  if (name == kTrain.name) return visit(kTrain, commands::TrainOptions{}), true;
  if (name == kEvaluate.name) return visit(kEvaluate, commands::EvaluateOptions{}), true;
  if (name == kScan.name) return visit(kScan, commands::ScanOptions{}), true;
  if (name == kSweep.name) return visit(kSweep, commands::SweepOptions{}), true;
  if (name == kCompare.name) return visit(kCompare, commands::CompareOptions{}), true;
  if (name == kPredict.name) return visit(kPredict, commands::PredictOptions{}), true;
  if (name == kExport.name) return visit(kExport, commands::ExportOptions{}), true;
  if (name == kBench.name) return visit(kBench, commands::BenchOptions{}), true;
  if (name == kExample.name) return visit(kExample, commands::ExampleOptions{}), true;
  return false;
}

}  // namespace engraft::app
