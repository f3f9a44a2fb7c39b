#include "sweep/plan.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/errors.h"
#include "base/target.h"
#include "base/text.h"
#include "data/digest.h"
#include "data/listing.h"
#include "finetune/train_options.h"
#include "io/digest.h"
#include "io/file_facts.h"
#include "io/json.h"
#include "options/schema.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

constexpr int64_t kVersion = 1;
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
  if (options.contains("stage") && options.at("stage").is_string())
    options["stage"] = io::Json::array({options.at("stage")});
  return options;
}

/// Of a file or folder; what is none stays.
std::string absolute(const std::string& path) {
  if (path.empty() || path == "-" || text::starts_with(path, "new:")) return path;
  return fs::absolute(path).lexically_normal();
}

io::Json resolve(const io::Json& base, const io::Json& varied, const std::string& where) {
  finetune::TrainOptions options;
  options::Schema schema;
  describe(schema, options);
  io::Json given = base;
  given.update(varied);
  for (const auto& [name, unused] : given.items()) {
    if (!schema.at(name, where).is_recorded())
      throw UsageError(where + ": " + name +
                       " changes no result and is not a SPEC's; sweep itself has what it needs of it");
  }
  schema.apply(as_lists(given), where);
  schema.check_required(where);
  io::Json resolved = schema.record();
  for (const char* name : {"backbone", "data", "teacher"}) resolved[name] = absolute(resolved.at(name));
  return resolved;
}

/// Digests of files and data sets, each taken once.
class Digests {
 public:
  Digests(io::Json known, Reporter& reporter) : known_(std::move(known)), reporter_(reporter) {}

  std::string of_network(const std::string& path) {
    if (path.empty() || text::starts_with(path, "new:")) return path;
    const io::FileFacts facts = io::look_at_file(path);
    const io::Json now = {{"bytes", facts.bytes}, {"modified_ns", facts.modified_ns}};
    const std::string of_file = known_or(path, now, [&] { return io::sha256_of_file(path); });
    const std::string beside = fs::path(path).replace_extension(".toml");  // what says how its pictures are prepared
    return fs::exists(beside) ? of_file + " " + io::sha256_of_file(beside) : of_file;
  }

  std::string of_data(const io::Json& options) {
    const std::string path = options.at("data"), name = name_of_data(options);
    const double fraction = options.at("val_fraction");
    const Target target = target_of(options);
    if (const auto found = taken_.find(name); found != taken_.end()) return found->second;
    const data::Listing listing = data::list_data(path, {fraction, true, {}, target});
    reporter_.note(
        text::cat("data: ", path, ", ", text::count_of(static_cast<int64_t>(listing.samples.size()), "picture")));
    pictures_[name] = static_cast<int64_t>(listing.samples.size());
    const io::Json now = {{"sizes", data::data_digest(listing, data::DigestOf::kSizes)}};
    return known_or(name, now, [&] { return data::data_digest(listing); });
  }

  /// After of_data().
  int64_t pictures_of(const io::Json& options) const { return pictures_.at(name_of_data(options)); }

  const io::Json& all() const { return known_; }

 private:
  static Target target_of(const io::Json& options) {
    return target_from_text(options.at("loss").get<std::string>()).value_or(Target::kSoftmax);
  }
  static std::string name_of_data(const io::Json& options) {
    return text::cat(options.at("data").get<std::string>(), " ",
                     text::shortest(options.at("val_fraction").get<double>()), " ", to_text(target_of(options)));
  }
  template <class Take>
  std::string known_or(const std::string& name, const io::Json& now, const Take& take) {
    if (const auto found = taken_.find(name); found != taken_.end()) return found->second;
    if (!known_.contains(name) || known_.at(name).value("by", io::Json()) != now)
      known_[name] = {{"by", now}, {"digest", take()}};
    return taken_[name] = known_.at(name).at("digest").get<std::string>();
  }

  io::Json known_;
  Reporter& reporter_;
  std::map<std::string, std::string> taken_;
  std::map<std::string, int64_t> pictures_;  // by the names of data sets
};

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
  Plan plan = before;
  for (const std::string& name : spec.varied) {
    if (std::find(plan.varied.begin(), plan.varied.end(), name) == plan.varied.end()) plan.varied.push_back(name);
  }
  plan.repeated = 0;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < plan.trials.size(); ++i) known[plan.trials[i].id] = i;
  Digests digests(plan.digests, reporter);
  std::vector<size_t> fresh;
  std::set<std::string> seen;
  for (size_t i = 0; i < spec.trials.size(); ++i) {
    Trial trial;
    trial.varied = spec.trials[i];
    trial.options = resolve(spec.base, trial.varied, text::cat(where, ": trial ", i + 1, " ", trial.varied.dump()));
    trial.id = digest_text(io::Json{{"format", kVersion},
                                    {"options", without(trial.options, left_out_of_ids())},
                                    {"backbone", digests.of_network(trial.options.at("backbone"))},
                                    {"teacher", digests.of_network(trial.options.at("teacher"))},
                                    {"data", digests.of_data(trial.options)}})
                   .substr(0, kIdDigits);
    trial.pictures = digests.pictures_of(trial.options);
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
  plan.digests = digests.all();
  add_groups(plan, fresh);
  return plan;
}

}  // namespace engraft::sweep
