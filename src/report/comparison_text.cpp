#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"
#include "io/csv.h"
#include "report/comparison.h"
#include "report/table.h"
#include "stats/judgement.h"

namespace engraft::report {

namespace {

std::string value_text(const std::string& metric, double value) { return stats::value_text(metric, value); }

/// "94.0 – 98.9 %".
std::string interval_text(const std::string& metric, const io::Json& figure) {
  const double low = figure.at("low"), high = figure.at("high");
  if (metric == "mae") return value_text(metric, low) + " – " + value_text(metric, high);
  return text::fixed(100 * low, 1) + " – " + text::fixed(100 * high, 1) + " %";
}

std::string signed_text(double value, int decimals) {
  return (value > 0 ? "+" : value < 0 ? "−" : "±") + text::fixed(std::abs(value), decimals);
}

/// "+1.04 points", of shares in percentage points.
std::string difference_text(const std::string& metric, double value) {
  if (metric != "mae") return signed_text(100 * value, 2);
  return (value > 0 ? "+" : value < 0 ? "−" : "±") + value_text(metric, std::abs(value));
}

std::string confidence_text(const io::Json& comparison) {
  const std::string percent = text::shortest(100 * comparison.at("confidence").get<double>());
  return percent + " % interval";
}

std::string p_text(double p) { return p < 0.0001 ? "<0.0001" : text::fixed(p, 4); }

/// "learning_rate 0.01, seed 1", of what distinguishes a run from the others.
std::string options_text(const io::Json& run) {
  std::vector<std::string> parts;
  const io::Json options = run.value("options", io::Json::object());
  for (const auto& [name, value] : options.items()) {
    const std::string shown = value.is_string()         ? value.get<std::string>()
                              : value.is_number_float() ? text::shortest(value.get<double>())
                                                        : value.dump();
    parts.push_back(name + " " + (shown.empty() ? "none" : shown));
  }
  return text::join(parts, ", ");
}

std::string runs_text(const io::Json& comparison) {
  const std::string metric = comparison.at("metric");
  const io::Json& runs = comparison.at("runs");
  const bool has_loss = std::all_of(runs.begin(), runs.end(), [](const io::Json& run) { return run.contains("loss"); });
  const bool has_seeds =
      std::any_of(runs.begin(), runs.end(), [](const io::Json& run) { return run.at("repetitions") > 1; });
  std::vector<std::string> header = {"", "run", stats::title_of(metric), confidence_text(comparison)};
  if (has_seeds) header.insert(header.end(), {"seeds", "their deviation"});
  if (has_loss) header.push_back("loss");
  header.emplace_back();
  std::vector<std::vector<std::string>> rows = {header};
  for (const io::Json& run : runs) {
    const io::Json& figure = run.at(metric);
    std::vector<std::string> row = {run.at("name"), run.at("run"), value_text(metric, figure.at("value")),
                                    interval_text(metric, figure)};
    if (has_seeds) {
      row.push_back(run.at("repetitions").dump());
      row.push_back(figure.at("std").is_null() ? "" : value_text(metric, figure.at("std")));
    }
    if (has_loss) row.push_back(text::fixed(run.at("loss").at("value"), 4));
    row.push_back(options_text(run));
    rows.push_back(row);
  }
  return table_text(rows);
}

std::string verdict(const std::string& metric, const io::Json& pair) {
  if (!pair.at("told_apart").get<bool>()) return "not told apart";
  const bool is_more = pair.at("difference").get<double>() > 0;
  return (is_more == (metric != "mae") ? pair.at("first") : pair.at("second")).get<std::string>() + " is better";
}

std::string pairs_text(const io::Json& comparison) {
  if (!comparison.contains("pairs")) return "";
  const std::string metric = comparison.at("metric");
  const io::Json& pairs = comparison.at("pairs");
  const bool has_counts =
      std::any_of(pairs.begin(), pairs.end(), [](const io::Json& p) { return p.contains("first_alone"); });
  std::vector<std::string> header = {"difference", "", metric == "mae" ? "mae" : "points", confidence_text(comparison)};
  if (has_counts) header.insert(header.end(), {"right alone", "other alone"});
  header.insert(header.end(), {"p", "corrected p", ""});
  std::vector<std::vector<std::string>> rows = {header};
  for (const io::Json& pair : pairs) {
    std::vector<std::string> row = {
        pair.at("first").get<std::string>() + " − " + pair.at("second").get<std::string>(), "",
        difference_text(metric, pair.at("difference")),
        difference_text(metric, pair.at("low")) + " … " + difference_text(metric, pair.at("high"))};
    if (has_counts) {
      row.push_back(pair.contains("first_alone") ? pair.at("first_alone").dump() : "");
      row.push_back(pair.contains("second_alone") ? pair.at("second_alone").dump() : "");
    }
    row.push_back(p_text(pair.at("p")));
    row.push_back(p_text(pair.at("p_adjusted")));
    row.push_back(verdict(metric, pair));
    rows.push_back(row);
  }
  std::string out = "\n" + table_text(rows);
  if (pairs.empty()) return out;
  return out + text::cat("corrected by Holm for looking at ",
                         text::count_of(pairs.front().at("corrected_for").get<int64_t>(), "difference"), "\n");
}

std::string number(const io::Json& value) { return value.is_null() ? "" : text::shortest(value.get<double>()); }

}  // namespace

std::string interval_line(const std::string& metric, const io::Json& interval) {
  return text::cat(confidence_text(interval), " of ", stats::title_of(metric), ": ", interval_text(metric, interval),
                   "\n");
}

std::string slices_text(const io::Json& run, const std::string& metric) {
  if (!run.contains("by")) return "";
  std::string out;
  for (const auto& [column, slices] : run.at("by").items()) {
    std::vector<std::vector<std::string>> rows = {{column, "", "pictures", stats::title_of(metric), "interval"}};
    for (const auto& [name, slice] : slices.items()) {
      const io::Json& figure = slice.at(metric);
      rows.push_back({name.empty() ? "(none)" : name, "", slice.at("rows").dump(),
                      value_text(metric, figure.at("value")), interval_text(metric, figure)});
    }
    const io::Json& worst = run.at("worst").at(column);
    const std::string name = worst.at("slice");
    out += "\n" + table_text(rows) +
           text::cat("worst: ", name.empty() ? "(none)" : name, ", ",
                     difference_text(metric, -run.at("gap").at(column).at(metric).get<double>()),
                     metric == "mae" ? "" : " points", " from the best\n");
  }
  return out;
}

std::string comparison_text(const io::Json& comparison) {
  const std::string metric = comparison.at("metric");
  std::string out = runs_text(comparison) + pairs_text(comparison);
  for (const io::Json& run : comparison.at("runs")) {
    const std::string slices = slices_text(run, metric);
    if (!slices.empty())
      out += text::cat("\n", run.at("name").get<std::string>(), ": ", run.at("run").get<std::string>(), slices);
  }
  return out + text::cat("\n", text::count_of(comparison.at("rows").get<int64_t>(), "picture"), "\n");
}

io::Json gate_figures(const io::Json& comparison) {
  io::Json figures = io::Json::object();
  // A figure's own name comes first: the 77th run would be called "by".
  const io::Json& any = comparison.at("runs").front();
  std::set<std::string> letters;
  for (const io::Json& run : comparison.at("runs")) {
    const std::string name = run.at("name");
    letters.insert(name);
    if (!any.contains(name)) figures[name] = run;
  }
  for (const io::Json& run : comparison.at("runs")) {
    std::filesystem::path path = std::filesystem::path(run.at("run").get<std::string>()).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();  // of "runs/a/"
    const std::string folder = path.filename();
    const std::string own = run.at("name");
    if (folder == own || letters.count(folder) > 0) continue;  // a letter is a run's, whatever folders are called
    if (figures.contains(folder)) {
      const std::string other = figures.at(folder).is_object() ? figures.at(folder).at("run").get<std::string>() : "";
      figures[folder] = "ambiguous: " + other + " and " + run.at("run").get<std::string>() +
                        "; call them by letters, or another folder";
    } else {
      figures[folder] = run;
    }
  }
  for (const io::Json& pair : comparison.value("pairs", io::Json::array())) {
    figures[pair.at("first").get<std::string>() + "_vs_" + pair.at("second").get<std::string>()] = pair;
  }
  return figures;
}

std::string runs_csv(const io::Json& comparison) {
  const std::string metric = comparison.at("metric");
  std::string out = io::csv_line({"name", "run", "repetitions", "by", "slice", "rows", metric, metric + "_low",
                                  metric + "_high", metric + "_std", "loss"});
  for (const io::Json& run : comparison.at("runs")) {
    const io::Json& figure = run.at(metric);
    const std::string name = run.at("name"), folder = run.at("run"), repetitions = run.at("repetitions").dump();
    out += io::csv_line({name, folder, repetitions, "", "", run.at("rows").dump(), number(figure.at("value")),
                         number(figure.at("low")), number(figure.at("high")), number(figure.at("std")),
                         run.contains("loss") ? number(run.at("loss").at("value")) : ""});
    const io::Json by = run.value("by", io::Json::object());
    for (const auto& [column, slices] : by.items()) {
      for (const auto& [slice, own] : slices.items()) {
        const io::Json& part = own.at(metric);
        out += io::csv_line({name, folder, repetitions, column, slice, own.at("rows").dump(), number(part.at("value")),
                             number(part.at("low")), number(part.at("high")), "", ""});
      }
    }
  }
  return out;
}

std::string pairs_csv(const io::Json& comparison) {
  std::string out = io::csv_line({"first", "second", "difference", "low", "high", "test", "p", "p_adjusted",
                                  "told_apart", "first_alone", "second_alone"});
  for (const io::Json& pair : comparison.value("pairs", io::Json::array())) {
    const auto count = [&](const char* key) { return pair.contains(key) ? pair.at(key).dump() : std::string(); };
    out += io::csv_line({pair.at("first"), pair.at("second"), number(pair.at("difference")), number(pair.at("low")),
                         number(pair.at("high")), pair.at("test"), number(pair.at("p")), number(pair.at("p_adjusted")),
                         pair.at("told_apart").dump(), count("first_alone"), count("second_alone")});
  }
  return out;
}

}  // namespace engraft::report
