#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/text.h"
#include "commands/commands.h"
#include "commands/outputs.h"
#include "finetune/judge.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// Files as given, folders as the pictures in them, "-" as the list on stdin.
data::Listing listing_of(const std::vector<std::string>& paths, Reporter& reporter) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (path == "-") {
      for (std::string line; std::getline(std::cin, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!text::trim(line).empty()) files.push_back(line);
      }
    } else if (std::filesystem::is_directory(path)) {
      data::ListingOptions any;
      any.labels_required = false;
      const data::Listing folder = data::list_data(path, any);
      data::tell(folder, reporter);
      for (const data::Sample& sample : folder.samples) files.push_back(sample.file);
    } else {
      files.push_back(path);  // a missing file is a bad picture like any other, named and counted
    }
  }
  return data::list_paths(files, ".");
}

struct Line {
  std::string image_path;
  std::vector<std::string> labels;
  std::vector<double> scores;
};

std::string csv_header(int64_t top) {
  std::vector<std::string> names = {"image_path", "label", "score"};
  for (int64_t k = 2; k <= top; ++k) {
    names.push_back(text::cat("label_", k));
    names.push_back(text::cat("score_", k));
  }
  return io::csv_line(names);
}

std::string csv_of(const Line& line) {
  std::vector<std::string> fields = {line.image_path};
  for (size_t k = 0; k < line.labels.size(); ++k) {
    fields.push_back(line.labels[k]);
    fields.push_back(text::fixed(line.scores[k], 6));
  }
  return io::csv_line(fields);
}

std::string json_of(const Line& line) {
  io::Json out = {{"image_path", line.image_path}, {"label", line.labels[0]}, {"score", line.scores[0]}};
  if (line.labels.size() > 1) {
    out["top"] = io::Json::array();
    for (size_t k = 0; k < line.labels.size(); ++k) {
      out["top"].push_back({{"label", line.labels[k]}, {"score", line.scores[k]}});
    }
  }
  return io::json_line(out) + "\n";
}

}  // namespace

ExitCode run(const PredictOptions& options, Session& session) {
  const data::Listing listing = listing_of(options.paths, session.reporter);
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  const model::Artifact model = model::load_artifact(options.model, options.compute.trust);
  const int64_t top = std::min<int64_t>(options.top, static_cast<int64_t>(model.classes.size()));
  const int64_t count = static_cast<int64_t>(listing.samples.size());
  std::vector<int64_t> rows(listing.samples.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);

  // In their own number where they are few: for one picture, speed matters more than the shape of a larger pass.
  const auto engine = engine::make_torch_engine(
      model.module, "forward",
      {model.preprocessing, finetune::batch_shape(std::min(options.batch, count), listing, model.preprocessing),
       device});
  check_outputs({{"--skipped", options.skipped}}, options.model, listing);
  std::optional<io::AtomicFile> skipped;  // opened before the work: a folder that is not there is said now
  if (!options.skipped.empty()) skipped.emplace(options.skipped);
  if (!options.common.json) session.out << csv_header(top);
  const auto bad = finetune::forward_pass(
      listing, rows, *engine, {options.compute.loader_threads, "predicting"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        const at::Tensor logits = outputs.front().to(at::kCPU, at::kFloat).contiguous();  // [B, K]
        for (size_t i = 0; i < good.size(); ++i) {
          const std::vector<double> scores = stats::scores_of(
              logits.const_data_ptr<float>() + static_cast<int64_t>(i) * logits.size(1), logits.size(1));
          Line line{listing.samples[static_cast<size_t>(good[i])].image_path, {}, {}};
          for (const int64_t k : stats::ranked(scores, top)) {
            line.labels.push_back(model.classes[static_cast<size_t>(k)]);
            line.scores.push_back(scores[static_cast<size_t>(k)]);
          }
          session.out << (options.common.json ? json_of(line) : csv_of(line));
        }
        session.out.flush();
      },
      session.reporter);
  for (const auto& picture : bad) session.reporter.warn(picture.image_path + ": " + picture.reason);
  if (!bad.empty() && count > 1)
    session.reporter.warn(text::cat(bad.size(), " of ", count, " pictures cannot be read"));
  if (skipped) {
    skipped->write(finetune::skipped_csv(bad));
    skipped->commit();
  }
  return static_cast<int64_t>(bad.size()) > options.max_bad ? ExitCode::kTooManyBad : ExitCode::kDone;
}

}  // namespace engraft::commands
