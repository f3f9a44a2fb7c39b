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
  if (!std::filesystem::exists(path)) return plan;
  const io::Json in = io::read_json(path);
  if (!in.is_object() || in.value("format", "") != kFormat || in.value("version", int64_t{0}) != kVersion)
    throw DataError(path + ": not the plan of a sweep (format " + kFormat + ", version 1)");
  try {
    plan.varied = in.at("varied").get<std::vector<std::string>>();
    plan.halves = in.at("halving").get<bool>();
    plan.digests = in.at("digests");
    for (const io::Json& trial : in.at("trials"))
      plan.trials.push_back({trial.at("id").get<std::string>(), trial.at("options"), trial.at("varied"),
                             trial.value("pictures", int64_t{0})});
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
