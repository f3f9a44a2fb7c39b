#include "report/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "report/settings.h"
#include "stats/bootstrap.h"
#include "stats/holm.h"
#include "stats/proportion.h"

namespace engraft::report {

namespace {

bool is_share(const std::string& metric) { return metric != "mae"; }

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }
double mean(const std::vector<double>& values) { return sum(values) / static_cast<double>(values.size()); }

/// Over n - 1; null of one.
io::Json deviation(const std::vector<double>& values) {
  if (values.size() < 2) return nullptr;
  const double middle = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - middle) * (value - middle);
  const double deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return deviation > 1e-12 * std::abs(middle) ? deviation : 0;  // less is rounding
}

void add_interval(io::Json& record, const stats::Interval& interval) {
  record["low"] = interval.low;
  record["high"] = interval.high;
}

stats::BootstrapOptions bootstrap_options(const ComparisonOptions& options) {
  return {options.resamples, options.confidence, options.seed};
}

/// Of setting `index` of the bootstrap, whose repetitions have a value a row.
stats::Interval interval_of_mean(const std::string& metric, const stats::Repetitions& repetitions,
                                 const stats::PairedBootstrap& bootstrap, size_t index,
                                 const ComparisonOptions& options) {
  if (repetitions.size() == 1) return interval_of(metric, repetitions.front(), options);
  if (!is_share(metric)) return bootstrap.interval(index);
  return stats::wilson_by_error(bootstrap.mean(index), static_cast<int64_t>(repetitions.front().size()),
                                bootstrap.error(index), options.confidence);
}

io::Json setting_json(const Setting& setting, size_t index, const stats::Repetitions& repetitions,
                      const stats::PairedBootstrap& bootstrap, const ComparisonOptions& options) {
  const Predictions& first = *setting.runs.front();
  io::Json out = {{"name", setting.name}, {"run", first.path}, {"repetitions", setting.runs.size()}};
  out["folders"] = io::Json::array();
  out["seeds"] = io::Json::array();
  std::vector<double> means, losses;
  for (const Predictions* run : setting.runs) {
    out["folders"].push_back(run->path);
    out["seeds"].push_back(run->seed ? io::Json(*run->seed) : io::Json());
    means.push_back(mean(run->values));
    if (run->loss) losses.push_back(*run->loss);
  }
  out["rows"] = first.values.size();
  if (is_share(first.metric)) {
    int64_t right = 0;
    for (const Predictions* run : setting.runs) right += std::llround(sum(run->values));
    out["right"] = right;  // of all repetitions
  }
  io::Json figure = {{"value", mean(means)}};
  add_interval(figure, interval_of_mean(first.metric, repetitions, bootstrap, index, options));
  figure["std"] = deviation(means);
  out[first.metric] = figure;
  if (losses.size() == means.size()) out["loss"] = {{"value", mean(losses)}, {"std", deviation(losses)}};
  return out;
}

/// Two single runs that count right pictures: how many each of them alone has right.
struct Alone {
  int64_t first = 0, second = 0;
};

std::optional<Alone> count_alone(const Setting& first, const Setting& second) {
  const Predictions &a = *first.runs.front(), &b = *second.runs.front();
  if (first.runs.size() > 1 || second.runs.size() > 1 || !is_share(a.metric)) return std::nullopt;
  Alone alone;
  for (size_t i = 0; i < a.values.size(); ++i) {
    alone.first += a.values[i] > b.values[i] ? 1 : 0;
    alone.second += b.values[i] > a.values[i] ? 1 : 0;
  }
  return alone;
}

double p_value(const std::vector<Setting>& settings, size_t first, size_t second,
               const stats::PairedBootstrap& bootstrap) {
  const std::optional<Alone> alone = count_alone(settings[first], settings[second]);
  return alone ? stats::mcnemar(alone->first, alone->second) : bootstrap.difference(first, second).p;
}

io::Json pair_json(const std::vector<Setting>& settings, size_t first, size_t second,
                   const stats::PairedBootstrap& bootstrap) {
  const stats::Difference difference = bootstrap.difference(first, second);
  io::Json out = {{"first", settings[first].name}, {"second", settings[second].name}, {"difference", difference.value}};
  add_interval(out, difference.interval);
  const std::optional<Alone> alone = count_alone(settings[first], settings[second]);
  out["test"] = alone ? "mcnemar" : "bootstrap";
  if (alone) {
    out["first_alone"] = alone->first;
    out["second_alone"] = alone->second;
  }
  out["p"] = p_value(settings, first, second, bootstrap);
  return out;
}

/// The difference is that of the first of a pair from the second.
std::vector<std::pair<size_t, size_t>> all_pairs(size_t count) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t second = 0; second < count; ++second) {
    for (size_t first = second + 1; first < count; ++first) pairs.emplace_back(first, second);
  }
  return pairs;
}

std::vector<std::pair<size_t, size_t>> pairs_with(size_t chosen, size_t count) {
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t other = 0; other < count; ++other) {
    if (other != chosen) pairs.emplace_back(other, chosen);
  }
  return pairs;
}

io::Json pairs_json(const std::vector<Setting>& settings, const stats::PairedBootstrap& bootstrap,
                    const ComparisonOptions& options) {
  const bool is_higher_better = is_share(settings.front().runs.front()->metric);
  size_t best = 0;
  for (size_t i = 1; i < settings.size(); ++i) {
    const double more = bootstrap.mean(i) - bootstrap.mean(best);
    if (is_higher_better ? more > 0 : more < 0) best = i;
  }
  const auto wanted = options.pairs == "all" ? all_pairs(settings.size())
                                             : pairs_with(options.pairs == "best" ? best : 0, settings.size());
  const auto corrected = options.pairs == "best" ? all_pairs(settings.size()) : wanted;
  std::vector<double> p_values;
  std::map<std::pair<size_t, size_t>, size_t> place;
  for (const auto& pair : corrected) {
    place[pair] = p_values.size();
    place[{pair.second, pair.first}] = p_values.size();
    p_values.push_back(p_value(settings, pair.first, pair.second, bootstrap));
  }
  const std::vector<double> adjusted = stats::holm(p_values);
  io::Json pairs = io::Json::array();
  for (const auto& pair : wanted) {
    io::Json record = pair_json(settings, pair.first, pair.second, bootstrap);
    const double p = adjusted[place.at(pair)];
    record["p_adjusted"] = p;
    record["told_apart"] = p <= 1 - options.confidence;
    record["corrected_for"] = corrected.size();
    pairs.push_back(std::move(record));
  }
  return pairs;
}

}  // namespace

stats::Interval interval_of(const std::string& metric, const std::vector<double>& values,
                            const ComparisonOptions& options) {
  if (is_share(metric)) {
    return stats::wilson(std::llround(sum(values)), static_cast<int64_t>(values.size()), options.confidence);
  }
  return stats::PairedBootstrap({{values}}, bootstrap_options(options)).interval(0);
}

void add_slices(io::Json& run, const std::string& metric, const stats::Repetitions& repetitions,
                const std::vector<std::pair<std::string, std::vector<std::string>>>& columns,
                const ComparisonOptions& options) {
  for (const auto& [column, names] : columns) {
    std::map<std::string, stats::Repetitions> slices;
    for (size_t i = 0; i < names.size(); ++i) {
      stats::Repetitions& own = slices[names[i]];
      own.resize(repetitions.size());
      for (size_t r = 0; r < own.size(); ++r) own[r].push_back(repetitions[r][i]);
    }
    io::Json by = io::Json::object();
    std::map<std::string, double> means;
    for (const auto& [name, own] : slices) {
      std::vector<double> of_each;
      for (const std::vector<double>& values : own) of_each.push_back(mean(values));
      means[name] = mean(of_each);
      io::Json figure = {{"value", means[name]}};
      const stats::BootstrapOptions drawing = own.size() == 1 ? stats::BootstrapOptions{1} : bootstrap_options(options);
      const stats::PairedBootstrap bootstrap({own}, drawing);  // nothing is asked of it for a share of one
      add_interval(figure, interval_of_mean(metric, own, bootstrap, 0, options));
      by[name] = {{"rows", own.front().size()}, {metric, figure}};
    }
    const auto [least, most] = std::minmax_element(means.begin(), means.end(),
                                                   [](const auto& x, const auto& y) { return x.second < y.second; });
    const std::string worst = (is_share(metric) ? least : most)->first;
    run["worst"][column] = {{"slice", worst}, {"rows", by.at(worst).at("rows")}, {metric, by.at(worst).at(metric)}};
    run["gap"][column] = {{metric, most->second - least->second}};
    run["by"][column] = std::move(by);
  }
}

io::Json compare(const std::vector<Predictions>& runs, const ComparisonOptions& options) {
  if (runs.empty()) throw UsageError("no runs to compare");
  for (const Predictions& run : runs) require_same_data(runs.front(), run);
  const std::vector<Setting> settings = settings_of(runs, options.each_seed);
  std::vector<stats::Repetitions> values;
  for (const Setting& setting : settings) {
    values.emplace_back();
    for (const Predictions* run : setting.runs) values.back().push_back(run->values);
  }
  const std::string metric = runs.front().metric;
  stats::BootstrapOptions drawing = bootstrap_options(options);
  if (runs.size() == 1) drawing.resamples = 1;  // nothing is asked of it: a share's interval is Wilson's
  const stats::PairedBootstrap bootstrap(values, drawing);
  io::Json out = {{"format", "engraft-compare"},
                  {"version", 1},
                  {"metric", metric},
                  {"rows", runs.front().values.size()},
                  {"confidence", options.confidence}};
  out["runs"] = io::Json::array();
  const std::vector<io::Json> differing = differing_options(settings);
  for (size_t i = 0; i < settings.size(); ++i) {
    io::Json run = setting_json(settings[i], i, values[i], bootstrap, options);
    if (!differing[i].empty()) run["options"] = differing[i];
    const Predictions& first = *settings[i].runs.front();
    std::vector<std::pair<std::string, std::vector<std::string>>> columns;
    for (const std::string& column : options.by) {
      const auto found = first.columns.find(column);
      if (found == first.columns.end()) {
        std::vector<std::string> names;
        for (const auto& [name, unused] : first.columns) names.push_back(name);
        throw UsageError(
            text::cat("--by ", column, ": ", first.path, " has no such column; ", text::join(names, ", ")));
      }
      columns.emplace_back(column, found->second);
    }
    add_slices(run, metric, values[i], columns, options);
    out["runs"].push_back(std::move(run));
  }
  if (settings.size() > 1) out["pairs"] = pairs_json(settings, bootstrap, options);
  return out;
}

}  // namespace engraft::report
