#include "sweep/state.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "report/table.h"
#include "stats/judgement.h"

namespace engraft::sweep {

namespace {

namespace fs = std::filesystem;

constexpr const char* kErrorFile = "error.json";
constexpr double kLossDigits = 1e6;

std::string metric_in(const io::Json& record) {
  for (const std::string& name : stats::metric_names()) {
    if (record.contains(name)) return name;
  }
  return "";
}

double rounded_loss(double loss) { return std::round(loss * kLossDigits) / kLossDigits; }

std::string text_of(const io::Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "";
  if (value.is_number_float()) return text::shortest(value.get<double>());
  return value.dump();
}

/// Whether `a` stands before `b` in the results.
bool is_before(const io::Json& a, const io::Json& b) {
  const bool a_done = a.contains("loss"), b_done = b.contains("loss");
  if (a_done != b_done) return a_done;
  if (!a_done) return a.at("number").get<int64_t>() < b.at("number").get<int64_t>();
  const auto is_halved = [](const io::Json& result) { return result.at("state") == kHalved; };
  if (is_halved(a) != is_halved(b)) return is_halved(b);
  const std::string metric = metric_in(a);
  if (metric != metric_in(b)) return metric < metric_in(b);
  if (stats::is_higher_better(metric) && a.at(metric) != b.at(metric))
    return a.at(metric).get<double>() > b.at(metric).get<double>();
  if (a.at("loss") != b.at("loss")) return a.at("loss").get<double>() < b.at("loss").get<double>();
  return a.at("number").get<int64_t>() < b.at("number").get<int64_t>();
}

std::string cell(const io::Json& result, const std::string& key) {
  return result.contains(key) ? text_of(result.at(key)) : "";
}

std::string param(const io::Json& result, const std::string& name) {
  const io::Json& params = result.at("params");
  return params.contains(name) ? text_of(params.at(name)) : "";
}

/// Gives the folder another name before its files go, so that it is never there without what says what it is.
void remove_aside(const std::string& folder) {
  const std::string aside = text::cat(folder, ".old-", ::getpid());
  std::error_code unknown;
  fs::remove_all(aside, unknown);
  if (std::rename(folder.c_str(), aside.c_str()) == 0) fs::remove_all(aside, unknown);
}

}  // namespace

std::string trial_folder(const std::string& sweep, const std::string& id) { return sweep + "/trials/" + id; }
std::string work_folder(const std::string& sweep, const std::string& id, const std::string& token) {
  return sweep + "/trials/" + id + ".work-" + token;
}

std::string take_work_folder(const std::string& sweep, const std::string& id, const std::string& token) {
  const std::string own = work_folder(sweep, id, token);
  io::make_folders(sweep + "/trials");
  std::error_code unknown;
  for (fs::directory_iterator it(sweep + "/trials", unknown), end; !unknown && it != end; it.increment(unknown)) {
    const std::string name = it->path().filename();
    if (!text::starts_with(name, id + ".work-") || name == id + ".work-" + token) continue;
    if (fs::exists(own)) {
      fs::remove_all(it->path());
    } else if (std::rename(it->path().c_str(), own.c_str()) != 0 && errno != ENOENT) {
      throw SystemError::from_errno("rename " + it->path().string() + " to", own);
    }
  }
  return own;
}
std::string group_folder(const std::string& sweep, const std::string& id) { return sweep + "/groups/" + id; }

std::string to_text(TrialState state) {
  switch (state) {
    case TrialState::kWaiting:
      return "waiting";
    case TrialState::kRunning:
      return "running";
    case TrialState::kDone:
      return "done";
    case TrialState::kFailed:
      break;
  }
  return "failed";
}

TrialState ended_state(const std::string& sweep, const std::string& id) {
  const std::string folder = trial_folder(sweep, id);
  std::error_code unknown;
  if (fs::exists(folder + "/" + kResultFile, unknown)) return TrialState::kDone;
  return fs::exists(folder + "/" + kErrorFile, unknown) ? TrialState::kFailed : TrialState::kWaiting;
}

bool publish(const std::string& sweep, const std::string& id, const std::string& work) {
  const std::string to = trial_folder(sweep, id);
  for (int tries = 0; tries < 2; ++tries) {
    if (std::rename(work.c_str(), to.c_str()) == 0) return true;
    if (errno != ENOTEMPTY && errno != EEXIST) throw SystemError::from_errno("rename " + work + " to", to);
    if (ended_state(sweep, id) != TrialState::kWaiting) break;
    remove_aside(to);
  }
  fs::remove_all(work);
  return false;
}

int64_t forget_failures(const std::string& sweep, const Plan& plan) {
  int64_t count = 0;
  for (const Trial& trial : plan.trials) {
    if (ended_state(sweep, trial.id) != TrialState::kFailed) continue;
    remove_aside(trial_folder(sweep, trial.id));
    ++count;
  }
  return count;
}

void remove_leftovers(const std::string& sweep) {
  std::vector<fs::path> left;
  std::error_code unknown;
  for (fs::directory_iterator it(sweep + "/trials", unknown), end; !unknown && it != end; it.increment(unknown)) {
    const std::string name = it->path().filename();
    const size_t dot = name.find('.');
    if (dot != std::string::npos && ended_state(sweep, name.substr(0, dot)) != TrialState::kWaiting)
      left.push_back(it->path());
  }
  for (const fs::path& path : left) fs::remove_all(path, unknown);
}

Status status_of(const std::string& sweep, const Plan& plan, const ClaimOptions& claims) {
  Status status;
  for (const Group& group : plan.groups) {
    int64_t left = 0;
    for (const size_t place : group.trials) {
      const TrialState state = ended_state(sweep, plan.trials[place].id);
      if (state == TrialState::kDone) ++status.done;
      if (state == TrialState::kFailed) ++status.failed;
      if (state == TrialState::kWaiting) ++left;
    }
    if (left == 0) continue;
    if (const auto holder = holder_of(group_folder(sweep, group.id), claims)) {
      status.running += left;
      status.workers.push_back(*holder + ": " + text::count_of(left, "trial"));
    } else {
      status.waiting += left;
    }
  }
  return status;
}

io::Json trial_json(const std::string& sweep, const Plan& plan, size_t place) {
  const Trial& trial = plan.trials[place];
  const TrialState state = ended_state(sweep, trial.id);
  io::Json out = {{"trial", trial.id}, {"number", place + 1}, {"state", to_text(state)}};
  out["params"] = io::Json::object();
  for (const std::string& name : plan.varied) {
    if (trial.options.contains(name)) out["params"][name] = trial.options.at(name);
  }
  const std::string folder = trial_folder(sweep, trial.id);
  try {
    if (state == TrialState::kDone) {
      const io::Json result = io::read_json(folder + "/" + kResultFile);
      const std::string metric = metric_in(result);
      const auto rows = result.at("rows").get<int64_t>();
      out["rows"] = rows;
      if (metric == "top1") out["right"] = std::llround(result.at(metric).get<double>() * static_cast<double>(rows));
      out[metric] = result.at(metric);
      out["loss"] = rounded_loss(result.at("loss").get<double>());
      const io::Json& stage = result.at("stages").back();
      const bool is_last = trial.options.value("select", "best") == "last";
      out["epoch"] = stage.at(is_last ? "last" : "best").at("epoch");
      out["epochs"] = stage.at("last").at("epoch");
      if (result.value("halved", false)) out["state"] = kHalved;
    } else if (state == TrialState::kFailed) {
      out["error"] = io::read_json(folder + "/" + kErrorFile).at("error");
    }
  } catch (const std::exception& error) {
    out = {{"trial", trial.id}, {"number", place + 1}, {"state", "damaged"}, {"params", out.at("params")}};
    out["error"] = text::cat("its result cannot be read (", text::split(error.what(), '\n').front(), "); remove ",
                             folder, " and the same command does it again");
  }
  return out;
}

std::vector<io::Json> results_of(const std::string& sweep, const Plan& plan) {
  std::vector<io::Json> results;
  for (size_t place = 0; place < plan.trials.size(); ++place) results.push_back(trial_json(sweep, plan, place));
  std::stable_sort(results.begin(), results.end(), is_before);
  return results;
}

std::string results_csv(const std::vector<io::Json>& results, const std::vector<std::string>& varied) {
  std::string metric = "top1";
  for (const io::Json& result : results) {
    if (result.contains("loss")) metric = metric_in(result);
  }
  std::vector<std::string> header = {"trial", "number", "state"};
  header.insert(header.end(), varied.begin(), varied.end());
  const std::vector<std::string> figures = {"rows", "right", metric, "loss", "epoch", "epochs", "error"};
  header.insert(header.end(), figures.begin(), figures.end());
  std::string out = io::csv_line(header);
  for (const io::Json& result : results) {
    std::vector<std::string> row = {cell(result, "trial"), cell(result, "number"), cell(result, "state")};
    for (const std::string& name : varied) row.push_back(param(result, name));
    for (const std::string& name : figures) {
      const bool is_loss = name == "loss" && result.contains(name);
      row.push_back(is_loss ? text::fixed(result.at(name).get<double>(), 6) : cell(result, name));
    }
    out += io::csv_line(row);
  }
  return out;
}

std::string results_text(const std::vector<io::Json>& results, const std::vector<std::string>& varied, size_t most) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> header = {"trial", "state"};
  header.insert(header.end(), varied.begin(), varied.end());
  header.insert(header.end(), {"figure", "right", "loss", ""});
  rows.push_back(header);
  for (size_t i = 0; i < std::min(most, results.size()); ++i) {
    const io::Json& result = results[i];
    std::vector<std::string> row = {cell(result, "trial"), cell(result, "state")};
    for (const std::string& name : varied) row.push_back(param(result, name));
    const std::string metric = metric_in(result);
    row.push_back(metric.empty() ? "" : stats::metric_text(metric, result.at(metric).get<double>()));
    row.push_back(result.contains("right") ? cell(result, "right") + " of " + cell(result, "rows") : "");
    row.push_back(result.contains("loss") ? text::fixed(result.at("loss").get<double>(), 6) : "");
    const bool is_halved = result.at("state") == kHalved;
    row.push_back(is_halved ? "after " + text::count_of(result.at("epochs").get<int64_t>(), "epoch")
                            : cell(result, "error"));
    rows.push_back(row);
  }
  std::string out = report::table_text(rows);
  if (results.size() > most) out += text::cat("… and ", results.size() - most, " more: --results has all\n");
  return out;
}

}  // namespace engraft::sweep
