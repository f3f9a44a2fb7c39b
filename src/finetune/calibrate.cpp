#include "finetune/calibrate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/errors.h"
#include "finetune/forward_pass.h"
#include "io/digest.h"
#include "io/file_facts.h"

namespace engraft::finetune {

namespace {

constexpr size_t kCalibrated = 128, kJudged = 512;
/// Of so many items one is calibrated on.
constexpr size_t kEach = (kCalibrated + kJudged) / kCalibrated;

/// Widens `ranges` by one batch's outputs: least and largest by turns, [rows] each.
void widen(std::vector<engine::ValueRange>& ranges, const std::vector<at::Tensor>& outputs) {
  constexpr float kNothing = std::numeric_limits<float>::infinity();
  if (ranges.empty()) ranges.assign(outputs.size() / 2, {kNothing, -kNothing});
  for (size_t i = 0; i < ranges.size(); ++i) {
    const auto low = outputs[2 * i].min().item<float>(), high = outputs[2 * i + 1].max().item<float>();
    if (!std::isfinite(low) || !std::isfinite(high))
      throw ModelError("int8: the network gives numbers that are not finite");
    ranges[i].low = std::min(ranges[i].low, low);
    ranges[i].high = std::max(ranges[i].high, high);
  }
}

}  // namespace

Int8Items split_for_int8(const PrecisionTrial& trial) {
  std::vector<std::pair<io::Digest128, int64_t>> drawn;
  for (const int64_t item : trial.rows) {
    const data::Sample& sample = trial.listing.samples[static_cast<size_t>(trial.views.row_of(item))];
    drawn.emplace_back(io::digest_of(sample.image_path), item);
  }
  std::sort(drawn.begin(), drawn.end());
  drawn.resize(std::min(drawn.size(), kCalibrated + kJudged));
  const size_t calibrated = (drawn.size() + kEach - 1) / kEach;
  Int8Items split;
  for (size_t i = 0; i < drawn.size(); ++i)
    (i < calibrated ? split.calibrated : split.judged).push_back(drawn[i].second);
  for (auto* part : {&split.calibrated, &split.judged}) {
    std::sort(part->begin(), part->end(), [&](int64_t x, int64_t y) {
      return std::make_pair(trial.views.row_of(x), x) < std::make_pair(trial.views.row_of(y), y);
    });
  }
  return split;
}

Calibrated calibrate(const PrecisionTrial& trial, const std::vector<int64_t>& items, Reporter& reporter) {
  const auto observer = engine::make_openvino_observer(trial.module, "forward", trial.options);
  std::vector<engine::ValueRange> ranges;
  Calibrated made;
  forward_pass(
      trial.listing, items, *observer, {trial.loader_threads, "calibrating int8", trial.views},
      [&](const std::vector<int64_t>& good, const std::vector<at::Tensor>& outputs) {
        widen(ranges, outputs);
        made.pictures += static_cast<int64_t>(good.size());
      },
      reporter);
  if (ranges.empty()) throw ModelError("int8: none of the pictures to calibrate on can be read");
  made.calibration = make_calibration(std::move(ranges));
  return made;
}

std::shared_ptr<const engine::Calibration> make_calibration(std::vector<engine::ValueRange> ranges) {
  io::Xxh128 digest;
  for (const engine::ValueRange& range : ranges) {
    const float bounds[] = {range.low, range.high};
    digest.add(bounds, sizeof bounds);
  }
  return std::make_shared<const engine::Calibration>(engine::Calibration{std::move(ranges), digest.hex()});
}

io::Json to_json(const engine::Calibration& calibration) {
  io::Json ranges = io::Json::array();
  for (const engine::ValueRange& range : calibration.ranges) ranges.push_back({range.low, range.high});
  return {{"digest", calibration.digest}, {"ranges", ranges}};
}

std::shared_ptr<const engine::Calibration> calibration_from_json(const io::Json& json, const std::string& where) {
  std::vector<engine::ValueRange> ranges;
  try {
    for (const io::Json& range : json.at("ranges"))
      ranges.push_back({range.at(0).get<float>(), range.at(1).get<float>()});
    auto calibration = make_calibration(std::move(ranges));
    if (calibration->digest == json.at("digest").get<std::string>()) return calibration;
  } catch (const nlohmann::json::exception&) {
    // said below
  }
  throw DataError(where + ": its calibration is damaged");
}

}  // namespace engraft::finetune
