#include "commands/inspect_run.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "finetune/judge.h"
#include "io/atomic_file.h"
#include "io/file_lock.h"
#include "stats/judgement.h"
#include "store/checkpoint.h"
#include "store/run_folder.h"

namespace engraft::commands {

namespace {

std::string path_in(const std::string& folder, const char* file) { return folder + "/" + file; }
bool has(const std::string& folder, const char* file) { return std::filesystem::exists(path_in(folder, file)); }

/// The metric that is named where there is room for one; its name in `record` has `prefix` before it.
std::string first_figure(const io::Json& record, const std::string& prefix = "") {
  for (const std::string& name : stats::metric_names()) {
    if (record.contains(prefix + name)) return stats::metric_text(name, record.at(prefix + name).get<double>());
  }
  return "";
}

/// Without the last line's end.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines = text::split(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

io::Json unfinished_json(const std::string& folder) {
  io::Json out = {{"kind", "run"}, {"finished", false}};
  out["running"] = io::FileLock::is_held(path_in(folder, store::kLockFile));
  const std::optional<int64_t> step = store::newest_checkpoint_step(folder);
  out["checkpoint_step"] = step ? io::Json(*step) : io::Json();
  out["epochs"] = 0;
  out["last_epoch"] = nullptr;
  if (!has(folder, kMetricsFile)) return out;
  const std::string metrics = path_in(folder, kMetricsFile);
  const std::vector<std::string> lines = lines_of(io::read_file(metrics));
  out["epochs"] = lines.size();
  if (!lines.empty()) out["last_epoch"] = io::parse_json(lines.back(), metrics);
  return out;
}

std::string unfinished_text(const io::Json& r, const std::string& folder) {
  const io::Json& last = r.at("last_epoch");
  const io::Json& step = r.at("checkpoint_step");
  const bool is_running = r.at("running").get<bool>();
  std::string out = text::cat(folder, "\n  a run that has not finished; ",
                              is_running ? "a process works on it" : "no process works on it", "\n  ",
                              text::count_of(r.at("epochs").get<int64_t>(), "epoch"), " done");
  if (!last.is_null()) {
    out +=
        text::cat("; the last: stage ", last.at("stage").dump(), ", epoch ", last.at("epoch").dump(), ", validation ");
    const std::string figure = first_figure(last, "val_");
    out += (figure.empty() ? "" : figure + ", ") + "loss " + text::fixed(last.at("val_loss").get<double>(), 4);
  }
  const std::string place = step.is_null() ? "from the beginning" : "behind step " + step.dump();
  return out + "\n" + (is_running ? "" : text::cat("  train with --resume goes on ", place, "\n"));
}

std::string finished_text(const io::Json& r, const std::string& folder) {
  std::string out = text::cat(folder, "\n  a finished run: ", finetune::figures_text(r), " on ", r.value("rows", 0),
                              " validation pictures; ", r.value("selected", ""), "\n");
  for (const io::Json& stage : r.value("stages", io::Json::array())) {
    out += text::cat("  stage ", stage["stage"].dump(), ", unfreeze ", stage["unfreeze"].get<std::string>(),
                     ": best epoch ", stage["best"]["epoch"].dump(), " ", first_figure(stage["best"]), "\n");
  }
  return out;
}

}  // namespace

bool is_run_folder(const std::string& folder) { return has(folder, kResultFile) || has(folder, kRunFile); }

io::Json run_json(const std::string& folder) {
  if (!has(folder, kResultFile)) return unfinished_json(folder);
  const std::string path = path_in(folder, kResultFile);
  const io::Json result = io::read_json(path);
  if (!result.is_object() || result.value("format", "") != "engraft-run" || result.value("version", 0) != 1) {
    throw DataError(path + ": not the result of a run (format engraft-run, version 1)");
  }
  return result;
}

std::string run_text(const io::Json& run, const std::string& folder) {
  try {
    return run.value("finished", true) ? finished_text(run, folder) : unfinished_text(run, folder);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(folder + ": its record is damaged: " + error.what());
  }
}

}  // namespace engraft::commands
