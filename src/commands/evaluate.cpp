#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "commands/class_report.h"
#include "commands/commands.h"
#include "commands/outputs.h"
#include "data/digest.h"
#include "finetune/engine_choice.h"
#include "finetune/judge.h"
#include "finetune/precision.h"
#include "io/atomic_file.h"
#include "report/comparison.h"
#include "report/gate.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// The data as the model's training saw them: its classes, and where the hash rule splits, its fraction.
data::Listing list_for(const model::Artifact& model, const EvaluateOptions& options, Reporter& reporter) {
  const double recorded = model.training_data.val_fraction.value_or(data::kValFraction);
  data::Listing listing =
      data::list_data(options.data.data, {options.val_fraction.value_or(recorded), true, model.classes, model.target});
  data::tell(listing, reporter);
  return listing;
}

/// What --split says, else val; but all where nothing but the hash rule makes a val, and the model's training did not
/// go by it.
std::string split_to_judge(const model::Artifact& model, const EvaluateOptions& options, const data::Listing& listing,
                           Reporter& reporter) {
  if (options.split) return *options.split;
  const bool is_hash_ours = model.training_data.val_fraction || options.val_fraction;
  if (!listing.is_split_by_hash || is_hash_ours) return "val";
  reporter.note("no splits in these data, and the model's training had its own: all pictures are judged");
  return "all";
}

/// Warns where pictures are judged that the model learned from, or may have.
void warn_of_training_pictures(const model::Artifact& model, const data::Listing& listing,
                               const std::vector<int64_t>& rows, const std::string& split, Reporter& reporter) {
  if (split == "train" || split == "all") return;
  const std::vector<std::string>& sample = model.training_data.path_sample;
  const int64_t learned = data::count_sampled(listing, rows, sample);
  if (learned > 0) {
    reporter.warn(text::cat("the model learned from some of these pictures: of ", sample.size(),
                            " training pictures whose paths it keeps, ", learned, " are judged here"));
    return;
  }
  const bool are_same_paths = data::count_sampled(listing, data::rows_of(listing, "train"), sample) > 0;
  if (!listing.is_split_by_hash || are_same_paths) return;
  reporter.warn(
      "split by hash, by other paths than in the model's training: if these are its pictures, some that it learned "
      "from are judged here; --split all takes every picture");
}

/// Rows of the wanted split. Where the data's test split serves as validation, it goes by both names.
std::vector<int64_t> rows_to_judge(const data::Listing& listing, const std::string& split, const std::string& path) {
  const std::string wanted = split == "test" && listing.test_is_validation ? "val" : split;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < listing.samples.size(); ++i) {
    if (wanted == "all" || listing.samples[i].split == wanted) rows.push_back(static_cast<int64_t>(i));
  }
  if (rows.empty()) throw DataError(path + ": no pictures in split '" + split + "'");
  return rows;
}

/// The values of the columns of --by for the judged rows. Throws UsageError for one that the data have not.
std::vector<std::pair<std::string, std::vector<std::string>>> slices_by(const std::vector<std::string>& by,
                                                                        const data::Listing& listing,
                                                                        const std::vector<int64_t>& rows) {
  std::vector<std::pair<std::string, std::vector<std::string>>> columns;
  for (const std::string& name : by) {
    const auto& names = listing.slice_names;
    const auto place = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    const bool is_label = place == names.size() && name == "true_label";
    if (place == names.size() && !is_label) {
      throw UsageError("--by " + name + ": the data have no such column; there " +
                       (names.empty() ? "is true_label alone; others come from a manifest's further columns"
                                      : "are " + text::join(names, ", ") + ", true_label"));
    }
    std::vector<std::string> values;
    for (const int64_t row : rows) {
      const data::Sample& sample = listing.samples[static_cast<size_t>(row)];
      values.push_back(is_label ? sample.label_name : sample.slices[place]);
    }
    columns.emplace_back(name, std::move(values));
  }
  return columns;
}

/// What gates look figures up in: `result` with the interval of the figure that has one.
io::Json gate_figures(io::Json result, const std::string& metric) {
  const io::Json interval = result.at("interval");
  result[metric] = {{"value", result.at(metric)}, {"low", interval.at("low")}, {"high", interval.at("high")}};
  return result;
}

}  // namespace

ExitCode run(const EvaluateOptions& options, Session& session) {
  for (const std::string& gate : options.gates.gate) report::Gate parsed(gate);  // for what it throws, before any work
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  const model::Artifact model = model::load_artifact(options.model, options.compute.trust);
  const data::Listing listing = list_for(model, options, session.reporter);
  const std::string split = split_to_judge(model, options, listing, session.reporter);
  const std::vector<int64_t> rows = rows_to_judge(listing, split, options.data.data);
  slices_by(options.gates.by, listing, rows);  // for what it throws
  warn_of_training_pictures(model, listing, rows, split, session.reporter);
  const int64_t batch = finetune::batch_shape(options.data.batch, listing, model.preprocessing);
  check_outputs({{"--predictions", options.predictions}, {"--skipped", options.skipped}}, options.model, listing);
  // Opened before the work: a folder that is not there is said now.
  std::optional<io::AtomicFile> predictions, skipped;
  if (!options.predictions.empty()) predictions.emplace(options.predictions);
  if (!options.skipped.empty()) skipped.emplace(options.skipped);
  const auto [precision, engine] = finetune::make_judging_engine(
      model, listing, rows, options.compute, {model.preprocessing, batch, device}, session.reporter);
  const finetune::Judged judged =
      finetune::judge(model, listing, rows, *engine, {options.compute.loader_threads, "evaluating"}, session.reporter);
  for (const auto& bad : judged.bad) session.reporter.warn(bad.image_path + ": " + bad.reason);
  if (judged.rows.empty()) throw DataError(options.data.data + ": none of the pictures can be read");
  const stats::Answers answers = finetune::answers_of(listing, judged);
  const stats::Judgement result = stats::judge(answers);
  if (predictions) {
    predictions->write(finetune::predictions_csv(listing, judged, model.classes));
    predictions->commit();
  }
  if (skipped) {
    skipped->write(finetune::skipped_csv(judged.bad));
    skipped->commit();
  }

  io::Json out = finetune::to_json(result);
  const std::string metric = stats::row_metric(answers.target);
  report::ComparisonOptions slicing;
  slicing.confidence = options.gates.confidence;
  const std::vector<double> values = stats::row_values(answers);
  const stats::Interval interval = report::interval_of(metric, values, slicing);
  out["interval"] = {
      {"of", metric}, {"confidence", slicing.confidence}, {"low", interval.low}, {"high", interval.high}};
  report::add_slices(out, metric, {values}, slices_by(options.gates.by, listing, judged.rows), slicing);
  out["split"] = split;
  out["engine"] = finetune::to_json(engine->report());
  finetune::add_to(out["engine"], precision);
  out["skipped"] = judged.bad.size();
  out.update(class_report(answers, model.classes));
  std::vector<report::GateFinding> findings;
  std::exception_ptr refused;  // a gate that asks for what is not there: after the figures, which took the time
  try {
    findings = report::check_gates(options.gates.gate, gate_figures(out, metric), {});
  } catch (const UsageError&) {
    refused = std::current_exception();
  }
  if (!findings.empty()) out["asserts"] = report::to_json(findings);
  if (options.common.json) {
    session.out << io::json_line(out) << "\n";
  } else {
    session.out << stats::metrics_text(result.metrics);
    if (result.top5) session.out << ", " << stats::metric_text("top5", *result.top5);
    session.out << ", loss " << text::fixed(result.loss, 4) << " on " << text::count_of(result.rows, "picture")
                << " of split " << split << "\n";
    session.out << report::interval_line(metric, out.at("interval")) << class_table(out)
                << report::slices_text(out, metric) << report::findings_text(findings);
  }
  if (refused) std::rethrow_exception(refused);
  if (!report::are_met(findings)) return ExitCode::kGateNotMet;
  return static_cast<int64_t>(judged.bad.size()) > options.max_bad ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace engraft::commands
