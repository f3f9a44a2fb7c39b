#include "store/run_folder.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "store/out_folder.h"

namespace engraft::store {

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  require_free_folder(path_);
  io::make_folders(path_);
}

namespace {

/// The first `lines` lines of a file; nothing of a file that is not there, when none are wanted.
std::string first_lines(const std::string& path, int64_t lines) {
  if (lines == 0) return "";
  const std::string bytes = io::read_file(path);
  size_t end = 0;
  for (int64_t i = 0; i < lines; ++i) {
    const size_t at = bytes.find('\n', end);
    if (at == std::string::npos) {
      throw DataError(text::cat(path, ": has ", i, " lines, expected ", lines, ", which the checkpoint has seen"));
    }
    end = at + 1;
  }
  return bytes.substr(0, end);
}

}  // namespace

void remove_temporaries(const std::string& folder, const std::string& name) {
  std::error_code error, unknown;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const size_t at = it->path().filename().string().find(name + ".tmp-");
    if (name.empty() ? at != std::string::npos : at == 0) std::filesystem::remove_all(it->path(), unknown);
  }
}

RunFolder::RunFolder(std::string path, int64_t epochs) : path_(std::move(path)), epochs_(epochs) {
  metrics_ = first_lines(file(kMetricsFile), epochs);
  metrics_csv_ = first_lines(file("metrics.csv"), epochs == 0 ? 0 : epochs + 1);
  timings_ = first_lines(file("timings.jsonl"), epochs);
  remove_temporaries(path_);
  std::error_code unknown;
  for (const auto& entry : std::filesystem::directory_iterator(path_, unknown)) {
    const std::string name = entry.path().filename().string();
    const bool is_later = name == "model.pt" || name == "predictions.csv" || name == kResultFile;
    const bool is_metrics = name == kMetricsFile || name == "metrics.csv" || name == "timings.jsonl";
    // Metrics that stay are replaced below, never missing: this too may be cut off.
    const bool goes = is_later || (is_metrics && epochs == 0);
    if (goes) std::filesystem::remove(entry.path(), unknown);
  }
  if (epochs == 0) return;
  write_text(kMetricsFile, metrics_);
  write_text("metrics.csv", metrics_csv_);
  write_text("timings.jsonl", timings_);
}

void RunFolder::write_text(const std::string& name, const std::string& text) const { io::write_file(file(name), text); }

void RunFolder::add_epochs(const std::vector<io::Json>& metrics, const std::vector<io::Json>& timings) {
  for (const io::Json& line : metrics) {
    std::vector<std::string> names, values;
    for (const auto& [key, value] : line.items()) {
      names.push_back(key);
      values.push_back(value.is_string() ? value.get<std::string>() : value.dump());
    }
    if (metrics_csv_.empty()) metrics_csv_ = io::csv_line(names);
    metrics_csv_ += io::csv_line(values);
    metrics_ += io::json_line(line) + "\n";
  }
  for (const io::Json& line : timings) timings_ += io::json_line(line) + "\n";
  epochs_ += static_cast<int64_t>(metrics.size());
  write_text(kMetricsFile, metrics_);
  write_text("metrics.csv", metrics_csv_);
  write_text("timings.jsonl", timings_);
}

}  // namespace engraft::store
