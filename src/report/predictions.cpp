#include "report/predictions.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/errors.h"
#include "base/run_files.h"
#include "base/target.h"
#include "base/text.h"
#include "io/csv.h"
#include "io/json.h"
#include "io/toml.h"

namespace engraft::report {

namespace {

namespace fs = std::filesystem;

constexpr double kRounding = 1e-4;  // of what a table says in six digits

std::vector<std::string> sorted_labels(const std::string& text) {
  std::vector<std::string> labels = text::split(text, kLabelSeparator);
  std::sort(labels.begin(), labels.end());
  return labels;
}

size_t required_column(const io::CsvTable& table, const std::string& name, const std::string& path) {
  const int64_t column = table.column(name);
  if (column >= 0) return static_cast<size_t>(column);
  throw DataError(path + ": has no column " + name + "; columns: " + text::join(table.header, " ") +
                  "; a table of labelled pictures comes from train (predictions.csv) or evaluate --predictions");
}

double number(const std::string& field, const std::string& path, int64_t line) {
  const std::optional<double> value = text::to_double(field);
  if (!value || !std::isfinite(*value)) throw DataError(text::cat(path, ":", line, ": '", field, "' is no number"));
  return *value;
}

bool is_multi_label(const io::CsvTable& table, size_t label, size_t truth) {
  return std::any_of(table.rows.begin(), table.rows.end(), [&](const std::vector<std::string>& row) {
    const std::string both = row[label] + row[truth];
    return row[label].empty() || row[truth].empty() || both.find(kLabelSeparator) != std::string::npos;
  });
}

void read_table(const std::string& path, Predictions& out) {
  const io::CsvTable table = io::read_csv(path);
  if (table.rows.empty()) throw DataError(path + ": has no pictures");
  const size_t picture = required_column(table, "image_path", path);
  const bool is_number = table.column("true_value") >= 0;
  const size_t truth = required_column(table, is_number ? "true_value" : "true_label", path);
  const size_t said = required_column(table, is_number ? "value" : "label", path);
  if (is_number) {
    out.metric = "mae";
  } else if (out.metric.empty()) {
    out.metric = is_multi_label(table, said, truth) ? "exact_match" : "top1";
  }

  std::vector<size_t> order(table.rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return table.rows[a][picture] < table.rows[b][picture]; });
  for (const size_t i : order) {
    const std::vector<std::string>& row = table.rows[i];
    out.pictures.push_back(row[picture]);
    out.truths.push_back(row[truth]);
    if (is_number) {
      const int64_t line = table.lines[i];
      out.values.push_back(std::abs(number(row[said], path, line) - number(row[truth], path, line)));
    } else {
      out.values.push_back(sorted_labels(row[said]) == sorted_labels(row[truth]) ? 1 : 0);
    }
    for (size_t c = 0; c < row.size(); ++c) {
      if (c != picture && c != said && table.header[c] != "score" && (c != truth || !is_number))
        out.columns[table.header[c]].push_back(row[c]);
    }
  }
}

/// The name that result.json gives what predictions.csv allows to count.
std::string metric_in(const io::Json& result) {
  for (const char* name : {"top1", "exact_match", "mae"}) {
    if (result.contains(name)) return name;
  }
  return "";
}

io::Json read_options(const std::string& path) {
  try {
    return io::read_toml(path);
  } catch (const UsageError& error) {  // of a person's file; this is a run's
    throw DataError(error.what());
  }
}

/// Throws DataError where the table of a run is not that of its result.
void require_whole(const std::string& path, const io::Json& result, const Predictions& read) {
  const double mean =
      std::accumulate(read.values.begin(), read.values.end(), 0.0) / static_cast<double>(read.values.size());
  const bool has_figures = result.contains("rows") && result.at("rows").is_number_integer() &&
                           result.contains(read.metric) && result.at(read.metric).is_number();
  if (!has_figures) throw DataError(path + "/" + kResultFile + ": has no 'rows' and '" + read.metric + "'");
  const auto rows = result.at("rows").get<size_t>();
  const auto figure = result.at(read.metric).get<double>();
  const bool is_near = std::abs(mean - figure) <= kRounding * std::max(1.0, std::abs(figure));
  if (rows == read.values.size() && is_near) return;
  throw DataError(text::cat(path, "/predictions.csv: ", read.values.size(), " pictures, ", read.metric, " ",
                            text::shortest(mean), "; by ", kResultFile, " there are ", rows, ", ",
                            text::shortest(figure), ": one of the two was changed or cut off"));
}

}  // namespace

Predictions read_predictions(const std::string& path) {
  Predictions out;
  out.path = path;
  if (!fs::is_directory(path)) {
    read_table(path, out);
    return out;
  }
  const std::string result_file = path + "/" + kResultFile, run_file = path + "/" + kRunFile;
  if (fs::exists(path + "/error.json")) throw DataError(path + ": a trial that failed; error.json says why");
  if (!fs::exists(result_file)) {
    throw DataError(path + (fs::exists(run_file) ? ": a run that has not finished (no result.json); "
                                                   "train --resume goes on with it"
                                                 : ": not a run folder (no result.json and no run.toml)"));
  }
  const io::Json result = io::read_json(result_file);
  try {
    out.metric = metric_in(result);
    if (result.contains("loss")) out.loss = result.at("loss").get<double>();
    out.pictures_digest = result.value("pictures_digest", "");
    io::Json options = read_options(run_file);
    const io::Json resolved = options.value("resolved", io::Json::object());
    options.erase("resolved");
    for (const char* name : {"backbone_sha256", "tap", "preprocessing"}) {
      if (resolved.contains(name)) options["resolved"][name] = resolved.at(name);
    }
    if (result.contains("data_digest")) options["data_digest"] = result.at("data_digest");
    if (options.contains("seed")) out.seed = options.at("seed").get<int64_t>();
    options.erase("seed");
    out.setting = io::json_line(options);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(result_file + ": " + error.what());
  }
  read_table(path + "/predictions.csv", out);
  require_whole(path, result, out);
  return out;
}

}  // namespace engraft::report
