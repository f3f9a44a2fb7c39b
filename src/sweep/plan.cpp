#include "sweep/plan.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/train_options.h"
#include "io/digest.h"
#include "io/file_facts.h"
#include "io/json.h"
#include "model/head_spec.h"
#include "options/schema.h"
#include "sweep/input_digests.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kVersionOfIds = 1;
constexpr size_t kIdDigits = 16;

/// What a result does not depend on, or by its digest alone.
const std::set<std::string>& left_out_of_ids() {
  static const std::set<std::string> names = {"backbone", "data", "teacher", "device", "threads", "trust"};
  return names;
}

/// Options that heads of one stack may differ in (finetune::can_stand_together).
const std::set<std::string>& free_in_a_stack() {
  static const std::set<std::string> names = {"learning_rate", "weight_decay",    "schedule",       "warmup_epochs",
                                              "patience",      "schedule_factor", "schedule_epochs"};
  return names;
}

/// Options that features do not depend on.
const std::set<std::string>& free_on_features() {
  static const std::set<std::string> names = {"head",
                                              "epochs",
                                              "optimizer",
                                              "learning_rate",
                                              "momentum",
                                              "nesterov",
                                              "weight_decay",
                                              "schedule",
                                              "warmup_epochs",
                                              "schedule_factor",
                                              "schedule_epochs",
                                              "layer_decay",
                                              "backbone_scale",
                                              "norms",
                                              "clip_norm",
                                              "accumulate",
                                              "ema",
                                              "label_smoothing",
                                              "class_weights",
                                              "balanced",
                                              "patience",
                                              "stage",
                                              "select",
                                              "mixup",
                                              "cutmix"};
  return names;
}

io::Json without(io::Json options, const std::set<std::string>& names) {
  for (const std::string& name : names) options.erase(name);
  return options;
}

std::string digest_text(const io::Json& value) { return io::to_hex(io::digest_of(io::json_line(value))); }

/// A repeatable option given once.
io::Json as_lists(io::Json options) {
  if (!options.contains("stage") || !options.at("stage").is_string()) return options;
  const std::string stage = options.at("stage");
  options["stage"] = stage.empty() ? io::Json::array() : io::Json::array({stage});
  return options;
}

/// Of a file or folder; what is none stays.
std::string absolute(const std::string& path) {
  if (path.empty() || path == "-" || text::starts_with(path, "new:")) return path;
  return fs::absolute(path).lexically_normal();
}

/// Throws UsageError, beginning with `where`, for what a training would refuse before it looks at the network.
void check_texts(const finetune::TrainOptions& options, const std::string& where) {
  try {
    model::parse_head(options.head);
  } catch (const UsageError& error) {
    throw UsageError(where + ": " + error.what());
  }
  for (const std::string& stage : options.stage)
    finetune::read_stage(stage, options, where + ": stage '" + stage + "'");
}

io::Json resolve(const io::Json& base, const io::Json& varied, const std::string& where) {
  finetune::TrainOptions options;
  options::Schema schema;
  describe(schema, options);
  io::Json given = base;
  given.update(varied);
  for (const auto& [name, unused] : given.items()) {
    if (!schema.at(name, where).is_recorded() || name == "threads")
      throw UsageError(where + ": " + name +
                       " changes no result and is not a SPEC's; sweep itself has what it needs of it");
  }
  schema.apply(as_lists(given), where);
  schema.check_required(where);
  check_texts(options, where);
  io::Json resolved = schema.record();
  for (const char* name : {"backbone", "data", "teacher"}) resolved[name] = absolute(resolved.at(name));
  return resolved;
}

/// Leaves out groups of which something changed between two plans' digests.
void drop_superseded(Plan& plan, const io::Json& before, Reporter& reporter) {
  std::set<std::string> changed;
  for (const auto& [name, unused] : before.items()) {
    const std::string then = digest_in(before, name), now = digest_in(plan.digests, name);
    if (!then.empty() && !now.empty() && then != now) changed.insert(name);
  }
  if (changed.empty()) return;
  const auto is_superseded = [&](const Group& group) {
    const io::Json& options = plan.trials[group.trials.front()].options;
    return changed.count(options.at("backbone")) + changed.count(options.at("teacher")) +
               changed.count(name_of_data(options)) >
           0;
  };
  Plan kept = plan;
  kept.trials.clear();
  kept.groups.clear();
  std::map<size_t, size_t> places;
  for (size_t i = 0; i < plan.groups.size(); ++i) {
    if (is_superseded(plan.groups[i])) continue;
    for (const size_t place : plan.groups[i].trials) places[place] = 0;
    kept.groups.push_back(plan.groups[i]);
  }
  for (auto& [from, to] : places) {
    to = kept.trials.size();
    kept.trials.push_back(plan.trials[from]);
  }
  for (Group& group : kept.groups) {
    for (size_t& place : group.trials) place = places.at(place);
  }
  const auto left_out = static_cast<int64_t>(plan.trials.size() - kept.trials.size());
  if (left_out > 0) {
    reporter.warn(text::cat(text::join({changed.begin(), changed.end()}, ", "), ": is not what it was; ",
                            text::count_of(left_out, "trial"), " with what it was ", left_out == 1 ? "is" : "are",
                            " left out from now on, and stay in the folder"));
  }
  plan = std::move(kept);
}

/// Names of options that are not the same in all trials.
std::vector<std::string> differing_names(const std::vector<Trial>& trials) {
  std::vector<std::string> names;
  if (trials.empty()) return names;
  for (const auto& [name, value] : trials.front().options.items()) {
    const bool is_same = std::all_of(trials.begin(), trials.end(), [&, key = name, own = value](const Trial& trial) {
      return trial.options.value(key, io::Json()) == own;
    });
    if (!is_same) names.push_back(name);
  }
  return names;
}

/// The head's layers, dropouts without their probability.
std::string shape_of_head(const std::string& spec) {
  std::vector<std::string> parts;
  for (const std::string& part : text::split(spec, ',')) {
    const std::string layer = text::trim(part);
    parts.push_back(text::starts_with(layer, "dropout") ? "dropout" : layer);
  }
  return text::join(parts, ",");
}

/// What has no weights can stand behind a layer that has some.
bool begins_with_weights(const std::string& head) {
  const std::string first = text::trim(text::split(head, ',').front());
  return first.empty() || first == "linear" || text::starts_with(first, "fc");
}

bool can_be_stacked(const io::Json& options) {
  const auto number = [&](const char* name) { return options.at(name).get<double>(); };
  return options.at("stage").empty() && begins_with_weights(options.at("head")) && number("epochs") > 0 &&
         number("accumulate") == 1 && number("clip_norm") == 0 && number("ema") == 0 && number("mixup") == 0 &&
         number("cutmix") == 0 && options.at("teacher").get<std::string>().empty() &&
         options.at("optimizer") != "lbfgs" && !text::starts_with(options.at("backbone").get<std::string>(), "new:");
}

/// Equal for trials that can stand in one stack; the trial's own where it cannot stand in any.
std::string stack_key(const Trial& trial) {
  if (!can_be_stacked(trial.options)) return trial.id;
  io::Json key = without(trial.options, free_in_a_stack());
  key["head"] = shape_of_head(trial.options.at("head"));
  return digest_text(key);
}

void add_groups(Plan& plan, const std::vector<size_t>& fresh) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<size_t>> by_key;
  for (const size_t place : fresh) {
    const std::string key = stack_key(plan.trials[place]);
    if (by_key[key].empty()) order.push_back(key);
    by_key[key].push_back(place);
  }
  for (const std::string& key : order) {
    const std::vector<size_t>& places = by_key[key];
    for (size_t begin = 0; begin < places.size(); begin += kMostHeads) {
      Group group;
      group.trials.assign(places.begin() + static_cast<std::ptrdiff_t>(begin),
                          places.begin() + static_cast<std::ptrdiff_t>(std::min(begin + kMostHeads, places.size())));
      const Trial& first = plan.trials[group.trials.front()];
      group.is_stack = can_be_stacked(first.options);
      io::Json decides = without(first.options, free_on_features());
      if (decides.at("augment") == "none") decides.erase("seed");
      group.features = digest_text(decides);
      io::Json ids = io::Json::array();
      for (const size_t place : group.trials) ids.push_back(plan.trials[place].id);
      group.id = digest_text(ids).substr(0, kIdDigits);
      plan.groups.push_back(std::move(group));
    }
  }
}

}  // namespace

Plan make_plan(const Spec& spec, const std::string& where, const Plan& before, Reporter& reporter) {
  InputDigests digests(before.digests, reporter);
  std::vector<Trial> wanted;
  for (size_t i = 0; i < spec.trials.size(); ++i) {
    Trial trial;
    trial.varied = spec.trials[i];
    trial.options = resolve(spec.base, trial.varied, text::cat(where, ": trial ", i + 1, " ", trial.varied.dump()));
    trial.id = digest_text(io::Json{{"format", kVersionOfIds},
                                    {"options", without(trial.options, left_out_of_ids())},
                                    {"backbone", digests.of_network(trial.options.at("backbone"))},
                                    {"teacher", digests.of_network(trial.options.at("teacher"))},
                                    {"data", digests.of_data(trial.options)}})
                   .substr(0, kIdDigits);
    trial.pictures = digests.pictures_of(trial.options);
    wanted.push_back(std::move(trial));
  }

  Plan plan = before;
  plan.digests = digests.all();
  drop_superseded(plan, before.digests, reporter);
  plan.repeated = 0;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < plan.trials.size(); ++i) known[plan.trials[i].id] = i;
  std::vector<size_t> fresh;
  std::set<std::string> seen;
  for (Trial& trial : wanted) {
    if (!seen.insert(trial.id).second) ++plan.repeated;
    const auto [place, is_new] = known.emplace(trial.id, plan.trials.size());
    if (!is_new) {
      io::Json& options = plan.trials[place->second].options;
      for (const std::string& name : left_out_of_ids()) {
        if (trial.options.contains(name)) options[name] = trial.options.at(name);
      }
      continue;
    }
    fresh.push_back(plan.trials.size());
    plan.trials.push_back(std::move(trial));
  }
  add_groups(plan, fresh);
  for (const std::vector<std::string>& names : {spec.varied, differing_names(plan.trials)}) {
    for (const std::string& name : names) {
      if (std::find(plan.varied.begin(), plan.varied.end(), name) == plan.varied.end()) plan.varied.push_back(name);
    }
  }
  return plan;
}

Inputs planned_inputs(const Plan& plan, const Trial& trial) {
  return {digest_in(plan.digests, trial.options.at("backbone")), digest_in(plan.digests, name_of_data(trial.options))};
}

int64_t epochs_when_halving(int64_t heads, int64_t epochs) {
  int64_t total = 0, left = heads;
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    total += left;
    for (const int64_t part : {8, 4, 2}) {
      if (epoch < epochs && epoch == std::max<int64_t>(1, epochs / part)) {
        left = (left + 1) / 2;
        break;
      }
    }
  }
  return total;
}

}  // namespace engraft::sweep
