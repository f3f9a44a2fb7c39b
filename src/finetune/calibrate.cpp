#include "finetune/calibrate.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "finetune/forward_pass.h"
#include "io/digest.h"

namespace engraft::finetune {

namespace {

constexpr int64_t kCalibrated = 128, kJudged = 512;
/// Of so many rows one is calibrated on.
constexpr int64_t kEach = (kCalibrated + kJudged) / kCalibrated;

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

Int8Rows split_for_int8(const std::vector<int64_t>& rows) {
  const auto count = static_cast<int64_t>(rows.size()), most = std::min(count, kCalibrated + kJudged);
  Int8Rows split;
  for (int64_t i = 0; i < most; ++i) {
    auto& part = i % kEach == 0 ? split.calibrated : split.judged;
    part.push_back(rows[static_cast<size_t>(i * count / most)]);
  }
  return split;
}

std::shared_ptr<const engine::Calibration> calibrate(const PrecisionTrial& trial, const std::vector<int64_t>& rows,
                                                     Reporter& reporter) {
  const auto observer = engine::make_openvino_observer(trial.module, "forward", trial.options);
  std::vector<engine::ValueRange> ranges;
  forward_pass(
      trial.listing, rows, *observer, {trial.loader_threads, "calibrating int8"},
      [&](const std::vector<int64_t>&, const std::vector<at::Tensor>& outputs) { widen(ranges, outputs); }, reporter);
  if (ranges.empty()) throw ModelError("int8: none of the pictures to calibrate on can be read");
  return make_calibration(std::move(ranges));
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
