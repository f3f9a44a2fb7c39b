#include "finetune/resume.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/progress_json.h"
#include "finetune/stage_fit.h"
#include "io/toml.h"

namespace engraft::finetune {

namespace {

constexpr double kShareOfTime = 0.01;
constexpr double kMostSeconds = 600;
constexpr double kLeastSeconds = 0.2;
constexpr double kGuessedBytesPerSecond = 300e6;  // until the first checkpoint was measured
constexpr const char* kNow = "now/";              // of the trainee
constexpr const char* kBest = "best/";            // its best epoch
constexpr const char* kEma = "ema/";              // its moving average
constexpr const char* kKept = "kept/";            // of the backbone: what earlier stages learned and this one freezes
constexpr const char* kOptions = "options";
constexpr const char* kData = "data";
constexpr const char* kSizes = "sizes";
constexpr const char* kContents = "contents";
constexpr size_t kMostNamed = 8;

/// What `from` has under `prefix`, without it.
std::vector<tensor::NamedTensor> below(const std::string& prefix, const std::vector<tensor::NamedTensor>& from) {
  std::vector<tensor::NamedTensor> out;
  for (const tensor::NamedTensor& item : from) {
    if (text::starts_with(item.name, prefix)) out.push_back({item.name.substr(prefix.size()), item.value});
  }
  return out;
}

void add_under(const std::string& prefix, const std::vector<tensor::NamedTensor>& items,
               std::vector<tensor::NamedTensor>& to) {
  for (const tensor::NamedTensor& item : items) to.push_back({prefix + item.name, item.value});
}

/// Backbone tensors that stages before `stage` learned and that it freezes.
std::vector<tensor::NamedTensor> kept_tensors(const Setup& setup, const StagePlan& stage) {
  model::FreezePlan earlier;
  for (const StagePlan& other : setup.stages) {
    if (other.number >= stage.number) continue;
    earlier.learning.insert(earlier.learning.end(), other.freeze.learning.begin(), other.freeze.learning.end());
  }
  std::set<std::string> learning;
  for (const auto& item : model::learning_tensors(setup.body, stage.freeze)) learning.insert(item.name);
  std::vector<tensor::NamedTensor> kept;
  for (const auto& item : model::learning_tensors(setup.body, earlier)) {
    if (learning.count(item.name) == 0) kept.push_back(item);
  }
  return kept;
}

io::Json outcomes_json(const std::vector<StageOutcome>& outcomes) {
  io::Json json = io::Json::array();
  for (const StageOutcome& outcome : outcomes) {
    json.push_back({{"record", outcome.record}, {"summary", outcome.summary}, {"selected", outcome.selected}});
  }
  return json;
}

/// "epochs (5, now 6)" for every key whose values differ.
std::vector<std::string> differences(const io::Json& before, const io::Json& now) {
  std::set<std::string> keys;
  for (const auto& [key, value] : before.items()) keys.insert(key);
  for (const auto& [key, value] : now.items()) keys.insert(key);
  const auto shown = [](const io::Json& object, const std::string& key) {
    return object.contains(key) ? io::json_line(object.at(key)) : std::string("not given");
  };
  std::vector<std::string> out;
  for (const std::string& key : keys) {
    const bool same = before.contains(key) && now.contains(key) && before.at(key) == now.at(key);
    if (!same) out.push_back(text::cat(key, " (", shown(before, key), ", now ", shown(now, key), ")"));
  }
  return out;
}

/// What bit-equality depends on.
io::Json surroundings(const Setup& setup) {
  io::Json json = resolved_json(setup);
  json.erase("stages");  // they follow from the options
  json[kOptions] = io::parse_json(setup.record, "the options");
  json[kData] = {{kSizes, setup.digests.sizes}, {kContents, setup.digests.contents}};
  return json;
}

/// Throws DataError naming what is not as it was.
void require_same_surroundings(io::Json before, io::Json now, const std::string& where) {
  const std::vector<std::string> options = differences(before.at(kOptions), now.at(kOptions));
  if (!options.empty()) {
    throw DataError(where + ": is of a run with other options: " + text::abridge(options, kMostNamed, ", "));
  }
  std::vector<std::string> different;
  if (before.at(kData).at(kSizes) != now.at(kData).at(kSizes)) {
    different.emplace_back("the data (other pictures, sizes of files, labels or splits)");
  } else if (before.at(kData).at(kContents) != now.at(kData).at(kContents)) {
    different.emplace_back("the data (the contents of files whose sizes are the same)");
  }
  for (io::Json* side : {&before, &now}) {
    side->erase(kOptions);
    side->erase(kData);
  }
  for (std::string& one : differences(before, now)) different.push_back(std::move(one));
  if (different.empty()) return;
  throw DataError(where + ": cannot be gone on with to the same bytes: " + text::join(different, ", "));
}

/// Throws DataError where the run has no such stage to go on with.
const StagePlan& stage_of(const Setup& setup, const Resumption& resumption, const std::string& where) {
  const auto count = static_cast<int64_t>(setup.stages.size());
  const bool is_there = resumption.stage >= 1 && resumption.stage <= count &&
                        setup.stages[static_cast<size_t>(resumption.stage - 1)].epochs > 0;
  if (!is_there) throw DataError(text::cat(where, ": is of stage ", resumption.stage, ", the run has ", count));
  if (resumption.epochs < 0 || resumption.steps_before < 0) {
    throw DataError(text::cat(where, ": ", resumption.epochs, " lines of metrics, ", resumption.steps_before,
                              " steps of earlier stages; expected at least 0"));
  }
  return setup.stages[static_cast<size_t>(resumption.stage - 1)];
}

}  // namespace

void require_same_options(const std::string& folder, const io::Json& record) {
  io::Json before = io::read_toml(folder + "/" + kRunFile);
  before.erase("resolved");
  // Through TOML and back, as `before` went: it has no nulls and its own way with numbers.
  const io::Json now = io::parse_toml(io::to_toml(record), "the options");
  const std::vector<std::string> different = differences(before, now);
  if (different.empty()) return;
  throw UsageError("--resume: " + folder +
                   " was begun with other options: " + text::abridge(different, kMostNamed, ", "));
}

train::FitStart start_of(const store::Checkpoint& checkpoint) {
  train::FitStart start;
  start.progress = progress_of(checkpoint.state.at("progress"));
  start.progress.best_state = below(kBest, checkpoint.weights);
  start.progress.ema = below(kEma, checkpoint.weights);
  start.trainee = below(kNow, checkpoint.weights);
  start.optimizer = checkpoint.optimizer;
  return start;
}

std::optional<Resumption> read_resumption(const std::string& folder, Setup& setup, Reporter& reporter) {
  std::optional<store::Checkpoint> checkpoint = store::newest_checkpoint(folder, reporter);
  if (!checkpoint) return std::nullopt;
  const io::Json& state = checkpoint->state;
  const std::string where = folder + ": checkpoint of step " + std::to_string(checkpoint->step);
  try {
    require_same_surroundings(state.at("surroundings"), surroundings(setup), where);
    Resumption out;
    state.at("stage").get_to(out.stage);
    state.at("metrics_lines").get_to(out.epochs);
    state.at("steps_before").get_to(out.steps_before);
    const StagePlan& stage = stage_of(setup, out, where);
    for (const io::Json& outcome : state.at("outcomes")) {
      out.outcomes.push_back(
          {outcome.at("record"), outcome.at("summary").get<std::string>(), outcome.at("selected").get<std::string>()});
    }
    out.start = start_of(*checkpoint);
    out.frozen_digests = state.at("frozen");
    tensor::restore(below(kKept, checkpoint->weights), kept_tensors(setup, stage));
    return out;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(where + ": " + error.what());
  }
}

StageCheckpointer::StageCheckpointer(const Setup& setup, const StagePlan& stage, const model::FrozenProof& proof,
                                     const store::RunFolder& folder, const std::vector<StageOutcome>& done,
                                     int64_t steps_before)
    : setup_(setup), stage_(stage), proof_(proof), folder_(folder), done_(done), steps_before_(steps_before) {
  double bytes = 0;
  for (const auto& item : model::learning_tensors(setup.body, stage.freeze))
    bytes += static_cast<double>(item.value.nbytes());
  for (const auto& item : setup.head.parameters()) bytes += static_cast<double>(item.value.nbytes());
  const double copies = takes_last(setup, stage) ? 3 : 4;  // now, two slots of an optimiser, and the best
  set_interval(copies * bytes / kGuessedBytesPerSecond);
}

void StageCheckpointer::set_interval(double cost_s) {
  const double bounded = std::min(kMostSeconds, std::max(kLeastSeconds, cost_s / kShareOfTime));
  interval_s_ = setup_.options.checkpoint_every.value_or(bounded);
}

bool StageCheckpointer::is_due() { return since_last_.seconds() >= interval_s_; }

void StageCheckpointer::save(const train::Progress& progress, train::Trainee& trainee,
                             const train::Optimizer& optimizer) {
  const std::pair<int64_t, int64_t> place = {progress.step, progress.epoch};
  if (saved_ == place) return;
  const Stopwatch cost;
  store::write_checkpoint(folder_.path(), checkpoint_of(progress, trainee, optimizer));
  saved_ = place;
  set_interval(cost.seconds());
  since_last_ = Stopwatch();
}

store::Checkpoint StageCheckpointer::checkpoint_of(const train::Progress& progress, train::Trainee& trainee,
                                                   const train::Optimizer& optimizer) const {
  store::Checkpoint checkpoint;
  checkpoint.step = steps_before_ + progress.step;
  checkpoint.state = {
      {"stage", stage_.number},        {"steps_before", steps_before_},    {"metrics_lines", folder_.epochs()},
      {"progress", to_json(progress)}, {"outcomes", outcomes_json(done_)}, {"surroundings", surroundings(setup_)}};
  checkpoint.state["frozen"] = io::Json::object();
  for (const auto& [block, digest] : proof_.digests()) checkpoint.state["frozen"][block] = digest;
  add_under(kNow, trainee.state(), checkpoint.weights);
  add_under(kBest, progress.best_state, checkpoint.weights);
  add_under(kEma, progress.ema, checkpoint.weights);
  add_under(kKept, kept_tensors(setup_, stage_), checkpoint.weights);
  checkpoint.optimizer = optimizer.state();
  return checkpoint;
}

}  // namespace engraft::finetune
