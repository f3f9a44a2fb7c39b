#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "commands/commands.h"
#include "commands/outputs.h"
#include "data/digest.h"
#include "finetune/judge.h"
#include "io/atomic_file.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// The data as the model's training saw them: its classes, and where the hash rule splits, its fraction.
data::Listing list_for(const model::Artifact& model, const EvaluateOptions& options, Reporter& reporter) {
  const double recorded = model.training_data.val_fraction.value_or(data::kValFraction);
  data::Listing listing =
      data::list_data(options.data.data, {options.val_fraction.value_or(recorded), true, model.classes});
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
  for (const int64_t row : rows) {
    const data::Sample& sample = listing.samples[static_cast<size_t>(row)];
    if (sample.label < 0) {
      throw DataError(sample.image_path + ": label '" + sample.label_name + "' is not one of the model's " +
                      text::count_of(static_cast<int64_t>(listing.classes.size()), "class", "classes") + ": " +
                      text::abridge(listing.classes, 8, ", "));
    }
  }
  return rows;
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
    row["recall"] = of_class > 0 ? io::Json(static_cast<double>(right) / static_cast<double>(of_class)) : io::Json();
    row["precision"] =
        predicted > 0 ? io::Json(static_cast<double>(right) / static_cast<double>(predicted)) : io::Json();
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

ExitCode run(const EvaluateOptions& options, Session& session) {
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  const model::Artifact model = model::load_artifact(options.model, options.compute.trust);
  const data::Listing listing = list_for(model, options, session.reporter);
  const std::string split = split_to_judge(model, options, listing, session.reporter);
  const std::vector<int64_t> rows = rows_to_judge(listing, split, options.data.data);
  warn_of_training_pictures(model, listing, rows, split, session.reporter);
  const int64_t batch = finetune::batch_shape(options.data.batch, listing, model.preprocessing);
  check_outputs({{"--predictions", options.predictions}, {"--skipped", options.skipped}}, options.model, listing);
  // Opened before the work: a folder that is not there is said now.
  std::optional<io::AtomicFile> predictions, skipped;
  if (!options.predictions.empty()) predictions.emplace(options.predictions);
  if (!options.skipped.empty()) skipped.emplace(options.skipped);
  const finetune::Judged judged = finetune::judge(model, listing, rows, {model.preprocessing, batch, device},
                                                  {options.compute.loader_threads, "evaluating"}, session.reporter);
  for (const auto& bad : judged.bad) session.reporter.warn(bad.image_path + ": " + bad.reason);
  if (judged.rows.empty()) throw DataError(options.data.data + ": none of the pictures can be read");
  const stats::Classification result = finetune::classify(listing, judged);
  if (predictions) {
    predictions->write(finetune::predictions_csv(listing, judged, model.classes));
    predictions->commit();
  }
  if (skipped) {
    skipped->write(finetune::skipped_csv(judged.bad));
    skipped->commit();
  }

  io::Json out = finetune::to_json(result);
  out["split"] = split;
  out["skipped"] = judged.bad.size();
  out["per_class"] = class_rows(result, model.classes);
  out["confusion"] = result.confusion;
  if (options.common.json) {
    session.out << io::json_line(out) << "\n";
  } else {
    session.out << "top1 " << percent(out["top1"]);
    if (result.top5) session.out << ", top5 " << percent(out["top5"]);
    session.out << ", loss " << text::fixed(result.loss, 4) << " on " << text::count_of(result.rows, "picture")
                << " of split " << split << "\n";
    size_t width = 7;
    for (const std::string& name : model.classes) width = std::max(width, name.size() + 2);
    session.out << padded("class", width) << padded("pictures", 10) << padded("recall", 10) << "precision\n";
    for (const io::Json& row : out["per_class"]) {
      session.out << padded(row["class"], width) << padded(row["rows"].dump(), 10) << padded(percent(row["recall"]), 10)
                  << percent(row["precision"]) << "\n";
    }
  }
  return static_cast<int64_t>(judged.bad.size()) > options.max_bad ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace engraft::commands
