#include "commands/class_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "stats/classification.h"
#include "stats/multi_label.h"

namespace engraft::commands {

namespace {

io::Json share(int64_t part, int64_t whole) {
  return whole > 0 ? io::Json(static_cast<double>(part) / static_cast<double>(whole)) : io::Json();
}

io::Json class_rows(const stats::Classification& result, const std::vector<std::string>& classes) {
  io::Json out = io::Json::array();
  for (size_t k = 0; k < classes.size(); ++k) {
    int64_t of_class = 0, predicted = 0;
    for (size_t j = 0; j < classes.size(); ++j) {
      of_class += result.confusion[k][j];
      predicted += result.confusion[j][k];
    }
    const int64_t right = result.confusion[k][k];
    io::Json row = {{"class", classes[k]}, {"rows", of_class}, {"right", right}};
    row["recall"] = share(right, of_class);
    row["precision"] = share(right, predicted);
    out.push_back(row);
  }
  return out;
}

io::Json class_rows(const stats::MultiLabel& result, const std::vector<std::string>& classes) {
  io::Json out = io::Json::array();
  for (size_t k = 0; k < classes.size(); ++k) {
    const stats::LabelResult& label = result.classes[k];
    io::Json row = {
        {"class", classes[k]}, {"rows", label.holds}, {"predicted", label.predicted}, {"right", label.right}};
    row["recall"] = share(label.right, label.holds);
    row["precision"] = share(label.right, label.predicted);
    row["average_precision"] = label.average_precision ? io::Json(*label.average_precision) : io::Json();
    out.push_back(row);
  }
  return out;
}

std::string percent(const io::Json& fraction) {
  return fraction.is_null() ? "–" : text::fixed(100 * fraction.get<double>(), 2) + " %";
}

std::string padded(const std::string& text, size_t width) {
  // Width in code points, so that names beyond ASCII line up as well.
  const auto points = static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  return text + std::string(width > points ? width - points : 1, ' ');
}

}  // namespace

io::Json class_report(const stats::Answers& answers, const std::vector<std::string>& classes) {
  io::Json report = io::Json::object();
  switch (answers.target) {
    case Target::kMultiLabel:
      report["per_class"] = class_rows(stats::judge_labels(answers.outputs, answers.width, answers.values), classes);
      break;
    case Target::kSoftmax:
    case Target::kSigmoid: {
      const auto result = stats::classify(answers.outputs, answers.width, answers.labels);
      report["per_class"] = class_rows(result, classes);
      report["confusion"] = result.confusion;
      break;
    }
    case Target::kRegression:
      break;
  }
  return report;
}

std::string class_table(const io::Json& report) {
  if (!report.contains("per_class")) return "";
  const io::Json& rows = report.at("per_class");
  size_t width = 7;
  for (const io::Json& row : rows) width = std::max(width, row.at("class").get<std::string>().size() + 2);
  const bool has_average = !rows.empty() && rows.front().contains("average_precision");
  std::string out = padded("class", width) + padded("pictures", 10) + padded("recall", 10) +
                    (has_average ? padded("precision", 11) + "average precision" : "precision") + "\n";
  for (const io::Json& row : rows) {
    const std::string precision = percent(row.at("precision"));
    out += padded(row.at("class"), width) + padded(row.at("rows").dump(), 10) + padded(percent(row.at("recall")), 10) +
           (has_average ? padded(precision, 11) + percent(row.at("average_precision")) : precision) + "\n";
  }
  return out;
}

}  // namespace engraft::commands
