#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/calibration.h"
#include "finetune/precision.h"

namespace engraft::finetune {

/// Items by which eight bits are chosen and judged: none is in both.
struct Int8Items {
  std::vector<int64_t> calibrated, judged;
};

/// Of the trial's items: at most 128 to calibrate on, a fifth, and at most 512 to judge by, drawn by a digest of their
/// image_paths, so that no order of the data matters, and each part in the order of the data. One item is calibrated on
/// and leaves none to judge by.
Int8Items split_for_int8(const PrecisionTrial& trial);

struct Calibrated {
  std::shared_ptr<const engine::Calibration> calibration;
  /// Pictures that could be read.
  int64_t pictures = 0;
};

/// Runs the observer (engine.h) on `items`: the least and the largest value over all pictures, not the means of these,
/// which cut off more. Throws ModelError where none can be read or a value is not finite, and as
/// make_openvino_observer.
Calibrated calibrate(const PrecisionTrial& trial, const std::vector<int64_t>& items, Reporter& reporter);

/// With a digest (xxh3-128 of the ranges).
std::shared_ptr<const engine::Calibration> make_calibration(std::vector<engine::ValueRange> ranges);

/// {"digest": …, "ranges": [[low, high], …]}, and back. Throws DataError naming `where` for anything else.
io::Json to_json(const engine::Calibration& calibration);
std::shared_ptr<const engine::Calibration> calibration_from_json(const io::Json& json, const std::string& where);

}  // namespace engraft::finetune
