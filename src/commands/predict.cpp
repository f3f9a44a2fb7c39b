#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/errors.h"
#include "base/text.h"
#include "commands/commands.h"
#include "commands/outputs.h"
#include "commands/prediction_text.h"
#include "data/tar_shards.h"
#include "finetune/engine_choice.h"
#include "finetune/judge.h"
#include "finetune/precision.h"
#include "io/atomic_file.h"
#include "tensor/device.h"

namespace engraft::commands {

namespace {

/// Files as given, folders and .tar archives as the pictures in them, "-" as the list on stdin.
data::Listing listing_of(const std::vector<std::string>& paths, Reporter& reporter) {
  data::Listing listing = data::list_paths(paths, ".");
  std::vector<data::Sample> given;
  std::swap(given, listing.samples);
  const auto add = [&](const std::string& path) {  // a missing file is a bad picture like any other, named and counted
    listing.samples.push_back(data::list_paths({path}, ".").samples.front());
  };
  for (const data::Sample& one : given) {
    const std::string& path = one.image_path;
    if (path == "-") {
      for (std::string line; std::getline(std::cin, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!text::trim(line).empty()) add(line);
      }
    } else if (std::filesystem::is_directory(path) || !data::tar_shards_at(path).empty()) {
      data::ListingOptions any;
      any.labels_required = false;
      data::Listing inside = data::list_data(path, any);
      data::tell(inside, reporter);
      for (data::Sample& sample : inside.samples) {
        sample.image_path = sample.offset < 0 ? sample.file : inside.root + "/" + sample.image_path;
        listing.samples.push_back(std::move(sample));
      }
    } else {
      add(path);
    }
  }
  if (listing.samples.empty()) throw DataError("no pictures: the list of paths is empty");
  return listing;
}

}  // namespace

ExitCode run(const PredictOptions& options, Session& session) {
  const data::Listing listing = listing_of(options.paths, session.reporter);
  const c10::Device device = tensor::device_from_text(options.compute.device);
  tensor::set_compute_threads(options.compute.threads);
  const model::Artifact model = model::load_artifact(options.model, options.compute.trust);
  const PredictionText prediction(model, options.top, options.common.json);
  const int64_t count = static_cast<int64_t>(listing.samples.size());
  std::vector<int64_t> rows(listing.samples.size());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);

  // In their own number where they are few: for one picture, speed matters more than the shape of a larger pass.
  const int64_t batch = finetune::batch_shape(std::min(options.batch, count), listing, model.preprocessing);
  const auto engine = finetune::make_judging_engine(model, listing, rows, options.compute,
                                                    {model.preprocessing, batch, device}, session.reporter)
                          .engine;
  check_outputs({{"--skipped", options.skipped}}, options.model, listing);
  std::optional<io::AtomicFile> skipped;  // opened before the work: a folder that is not there is said now
  if (!options.skipped.empty()) skipped.emplace(options.skipped);
  session.out << prediction.header();
  const auto bad = finetune::forward_pass(
      listing, rows, *engine, {options.compute.loader_threads, "predicting"},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        const at::Tensor logits = outputs.front().to(at::kCPU, at::kFloat).contiguous();  // [B, K]
        for (size_t i = 0; i < good.size(); ++i) {
          session.out << prediction.line(listing.samples[static_cast<size_t>(good[i])].image_path,
                                         logits.const_data_ptr<float>() + static_cast<int64_t>(i) * logits.size(1),
                                         logits.size(1));
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
