#include "finetune/rate_trial.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "finetune/frozen_part.h"
#include "finetune/stages.h"
#include "io/atomic_file.h"
#include "io/csv.h"
#include "store/run_folder.h"

namespace engraft::finetune {

namespace {

/// "0.0021"
std::string two_digits(double rate) {
  const double scale = std::pow(10.0, std::floor(std::log10(rate)) - 1);
  return text::shortest(static_cast<float>(std::round(rate / scale) * scale));
}

}  // namespace

TrainResult try_rates(Setup& setup, const std::string& out, Reporter& reporter) {
  const auto first = std::find_if(setup.stages.begin(), setup.stages.end(),
                                  [](const StagePlan& candidate) { return candidate.epochs > 0; });
  setup.stages.erase(first + 1, setup.stages.end());  // nothing is computed for later ones
  FrozenPart frozen(setup, reporter);
  frozen.first_pass();
  take_lessons(setup, reporter);
  const StagePlan* stage = &setup.stages.back();
  const train::RateRange range = stage->is_on_features() && frozen.has_features()
                                     ? find_rate(setup, *stage, frozen.features(), reporter)
                                     : find_rate(setup, *stage, frozen.activations(*stage), reporter);
  std::string csv = io::csv_line({"learning_rate", "loss", "smoothed"});
  for (const train::RangePoint& point : range.points) {
    csv +=
        io::csv_line({text::shortest(point.learning_rate), text::shortest(point.loss), text::shortest(point.smoothed)});
  }
  io::make_folders(out);
  const std::string file = out + "/" + store::kRateRangeFile;
  io::write_file(file, csv);
  const io::Json record = {{"stage", stage->number},
                           {"learning_rate", range.steepest},
                           {"lowest_loss_at", 10 * range.below_best},
                           {"points", range.points.size()},
                           {"file", file}};
  return {io::json_line(record),
          text::cat("stage ", stage->number, ": take learning rate ", two_digits(range.steepest),
                    ", where the loss falls most steeply; it is lowest at ", two_digits(10 * range.below_best),
                    ", which is often too high\n", file, ": ", range.points.size(), " rates from ",
                    two_digits(range.points.front().learning_rate), " to ",
                    two_digits(range.points.back().learning_rate), "\n")};
}

}  // namespace engraft::finetune
