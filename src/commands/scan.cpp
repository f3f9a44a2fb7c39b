#include "finetune/scan.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "commands/commands.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "io/json.h"
#include "report/table.h"
#include "stats/proportion.h"

namespace engraft::commands {

namespace {

io::Json share_json(const std::vector<bool>& right, double confidence) {
  const auto rows = static_cast<int64_t>(right.size()), sum = std::count(right.begin(), right.end(), true);
  const stats::Interval interval = stats::wilson(sum, rows, confidence);
  return {{"right", sum},
          {"rows", rows},
          {"top1", static_cast<double>(sum) / static_cast<double>(rows)},
          {"low", interval.low},
          {"high", interval.high}};
}

io::Json tap_json(const finetune::TapScore& tap, double confidence) {
  io::Json out = {{"tap", tap.tap}, {"map", tap.map}, {"dimension", tap.dimension}, {"milliseconds", tap.milliseconds}};
  out["ridge"] = share_json(tap.ridge_right, confidence);
  out["ridge"]["penalty"] = tap.ridge_penalty;
  out["ridge_left_out"] = share_json(tap.left_out_right, confidence);
  if (tap.logistic_right) {
    out["logistic"] = share_json(*tap.logistic_right, confidence);
    out["logistic"]["penalty"] = tap.logistic_penalty;
  } else {
    out["why_no_logistic"] = tap.why_no_logistic;
  }
  return out;
}

std::string percent(double share, int decimals) { return text::fixed(100 * share, decimals) + " %"; }

std::string share_text(const io::Json& tap, const char* probe) {
  return tap.contains(probe) ? percent(tap.at(probe).at("top1").get<double>(), 2) : "–";
}

std::string interval_text(const io::Json& figure) {
  return text::fixed(100 * figure.at("low").get<double>(), 1) + " – " + percent(figure.at("high").get<double>(), 1);
}

/// Why that tap.
std::string reason_of(const finetune::ScanResult& result) {
  const finetune::Suggestion& s = result.suggestion;
  const finetune::TapScore &tap = result.taps[s.tap], &best = result.taps[s.best];
  if (s.tap == s.best) {
    return "tells most pictures right, by ridge regression on training pictures left out and validation pictures "
           "together; no quicker one comes within a standard error of it";
  }
  return text::cat(text::fixed(100 * s.difference, 2), " points behind ", best.tap,
                   ", the best, by ridge regression on training pictures left out and validation pictures together, "
                   "within a standard error (",
                   text::fixed(100 * s.standard_error, 2), "), at ", percent(tap.milliseconds / best.milliseconds, 0),
                   " of its time");
}

std::string table_of(const io::Json& result, double confidence) {
  std::vector<std::vector<std::string>> rows = {{"block", "output", "dimension", "ms", "left out", "ridge",
                                                 text::shortest(100 * confidence) + " % interval", "logistic", ""}};
  for (const io::Json& tap : result.at("taps")) {
    rows.push_back({tap.at("tap"), text::shape(tap.at("map").get<std::vector<int64_t>>()), tap.at("dimension").dump(),
                    text::fixed(tap.at("milliseconds").get<double>(), 2), share_text(tap, "ridge_left_out"),
                    share_text(tap, "ridge"), interval_text(tap.at("ridge")), share_text(tap, "logistic"),
                    tap.at("tap") == result.at("suggested").at("tap") ? "suggested" : ""});
  }
  return report::table_text(rows);
}

std::string csv_of(const io::Json& result) {
  std::string out = io::csv_line({"tap", "dimension", "milliseconds", "ridge_left_out", "ridge", "ridge_low",
                                  "ridge_high", "logistic", "logistic_low", "logistic_high", "suggested"});
  const auto number = [](const io::Json& tap, const char* probe, const char* key) {
    return tap.contains(probe) ? text::shortest(tap.at(probe).at(key).get<double>()) : std::string();
  };
  for (const io::Json& tap : result.at("taps")) {
    out += io::csv_line(
        {tap.at("tap"), tap.at("dimension").dump(), text::fixed(tap.at("milliseconds").get<double>(), 3),
         number(tap, "ridge_left_out", "top1"), number(tap, "ridge", "top1"), number(tap, "ridge", "low"),
         number(tap, "ridge", "high"), number(tap, "logistic", "top1"), number(tap, "logistic", "low"),
         number(tap, "logistic", "high"), tap.at("tap") == result.at("suggested").at("tap") ? "yes" : "no"});
  }
  return out;
}

}  // namespace

ExitCode run(const ScanOptions& options, Session& session) {
  std::optional<io::AtomicFile> csv;  // opened before the work: a folder that is not there is said now
  if (!options.csv.empty()) csv.emplace(options.csv);
  const finetune::ScanResult found = finetune::scan(options.scan, session.reporter);
  io::Json result = {{"format", "engraft-scan"},
                     {"version", 1},
                     {"train_pictures", found.train_pictures},
                     {"val_pictures", found.val_pictures},
                     {"classes", found.classes},
                     {"confidence", options.scan.confidence},
                     {"engine", found.engine}};
  result["taps"] = io::Json::array();
  for (const finetune::TapScore& tap : found.taps) result["taps"].push_back(tap_json(tap, options.scan.confidence));
  result["suggested"] = {{"tap", found.taps[found.suggestion.tap].tap},
                         {"best", found.taps[found.suggestion.best].tap},
                         {"reason", reason_of(found)}};
  if (csv) {
    csv->write(csv_of(result));
    csv->commit();
  }
  if (options.common.json) {
    session.out << io::json_line(result) << "\n";
  } else {
    session.out << table_of(result, options.scan.confidence) << "\n"
                << text::count_of(found.train_pictures, "training picture") << ", "
                << text::count_of(found.val_pictures, "validation picture") << ", " << found.classes
                << " classes; ms of one picture up to the block, by LibTorch in float32\nsuggested: --tap "
                << result["suggested"]["tap"].get<std::string>() << ": " << reason_of(found) << "\n";
  }
  return ExitCode::kDone;
}

}  // namespace engraft::commands
