#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/calibration.h"
#include "finetune/precision.h"

namespace engraft::finetune {

/// Pictures by which eight bits are chosen and judged: no picture is in both.
struct Int8Rows {
  std::vector<int64_t> calibrated, judged;
};

/// Of `rows`, in equal steps: at most 128 to calibrate on, which is every fifth, and at most 512 to judge by. One row
/// is calibrated on and leaves none to judge by.
Int8Rows split_for_int8(const std::vector<int64_t>& rows);

/// Runs the observer (engine.h) on `rows`: the least and the largest value over all pictures, not the means of these,
/// which cut off more. Throws ModelError where none can be read or a value is not finite, and as
/// make_openvino_observer.
std::shared_ptr<const engine::Calibration> calibrate(const PrecisionTrial& trial, const std::vector<int64_t>& rows,
                                                     Reporter& reporter);

/// With a digest (xxh3-128 of the ranges).
std::shared_ptr<const engine::Calibration> make_calibration(std::vector<engine::ValueRange> ranges);

/// {"digest": …, "ranges": [[low, high], …]}, and back. Throws DataError naming `where` for anything else.
io::Json to_json(const engine::Calibration& calibration);
std::shared_ptr<const engine::Calibration> calibration_from_json(const io::Json& json, const std::string& where);

}  // namespace engraft::finetune
