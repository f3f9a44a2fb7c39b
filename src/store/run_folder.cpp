#include "store/run_folder.h"

#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/csv.h"
#include "store/out_folder.h"

namespace engraft::store {

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  require_free_folder(path_);
  io::make_folders(path_);
}

void RunFolder::write_text(const std::string& name, const std::string& text) const { io::write_file(file(name), text); }

void RunFolder::add_metrics(const io::Json& line) {
  std::vector<std::string> names, values;
  for (const auto& [key, value] : line.items()) {
    names.push_back(key);
    values.push_back(value.is_string() ? value.get<std::string>() : value.dump());
  }
  if (metrics_csv_.empty()) metrics_csv_ = io::csv_line(names);
  metrics_csv_ += io::csv_line(values);
  metrics_ += io::json_line(line) + "\n";
  write_text("metrics.jsonl", metrics_);
  write_text("metrics.csv", metrics_csv_);
}

void RunFolder::add_timing(const io::Json& line) {
  timings_ += io::json_line(line) + "\n";
  write_text("timings.jsonl", timings_);
}

}  // namespace engraft::store
