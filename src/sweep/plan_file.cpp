#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "io/json.h"
#include "sweep/plan.h"

namespace engraft::sweep {

namespace {

constexpr const char *kFormat = "engraft sweep plan", *kPlanFile = "/plan.json";
constexpr int64_t kVersion = 1;

}  // namespace

void write_plan(const std::string& folder, const Plan& plan) {
  io::Json out = {{"format", kFormat},
                  {"version", kVersion},
                  {"varied", plan.varied},
                  {"halving", plan.halves},
                  {"digests", plan.digests}};
  out["trials"] = io::Json::array();
  for (const Trial& trial : plan.trials)
    out["trials"].push_back(
        {{"id", trial.id}, {"pictures", trial.pictures}, {"varied", trial.varied}, {"options", trial.options}});
  out["groups"] = io::Json::array();
  for (const Group& group : plan.groups) {
    out["groups"].push_back(
        {{"id", group.id}, {"stack", group.is_stack}, {"features", group.features}, {"trials", group.trials}});
  }
  io::write_json(folder + kPlanFile, out);
}

Plan read_plan(const std::string& folder) {
  const std::string path = folder + kPlanFile;
  Plan plan;
  std::error_code refused;
  if (!std::filesystem::exists(path, refused)) {
    if (refused) throw DataError(path + ": " + refused.message());
    return plan;
  }
  const io::Json in = io::read_json(path);
  if (!in.is_object() || !in.contains("format") || in.at("format") != kFormat || !in.contains("version") ||
      in.at("version") != kVersion) {
    throw DataError(path + ": not the plan of a sweep (format " + kFormat + ", version 1)");
  }
  try {
    plan.varied = in.at("varied").get<std::vector<std::string>>();
    plan.halves = in.at("halving").get<bool>();
    plan.digests = in.at("digests");
    if (!plan.digests.is_object()) throw DataError("its digests are no object");
    for (const io::Json& trial : in.at("trials"))
      plan.trials.push_back({trial.at("id").get<std::string>(), trial.at("options"), trial.at("varied"),
                             trial.value("pictures", int64_t{0})});
    for (const Trial& trial : plan.trials) {  // what is read of it here, before a worker reads all
      for (const char* name : {"backbone", "data", "teacher", "loss"}) trial.options.at(name).get<std::string>();
      trial.options.at("epochs").get<int64_t>();
      trial.options.at("val_fraction").get<double>();
      static_cast<void>(trial.options.at("stage").size());
    }
    for (const io::Json& group : in.at("groups")) {
      plan.groups.push_back({group.at("id").get<std::string>(), group.at("trials").get<std::vector<size_t>>(),
                             group.at("stack").get<bool>(), group.at("features").get<std::string>()});
      for (const size_t place : plan.groups.back().trials) plan.trials.at(place);
    }
  } catch (const std::exception& error) {
    throw DataError(path + ": is damaged: " + error.what());
  }
  return plan;
}

}  // namespace engraft::sweep
