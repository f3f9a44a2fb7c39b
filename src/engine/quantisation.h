#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/calibration.h"

namespace ov {
class Model;
}

namespace engraft::engine {

// Where a model is quantised to eight bits: at the tensors that convolutions and matrix products with constant weights
// read. What is joined (Concat) or pooled (MaxPool) on the way there is quantised before that, with one range for all
// that is joined, so that these need no arithmetic of their own. Which places there are, and their order, depends on
// the model alone. What is put in are FakeQuantize operators; that OpenVINO computes in whole numbers around them is
// its own doing. Both functions fold the model's constants, and throw ModelError where no such layer is there.

/// Makes the model's outputs the least and the largest value of each place's tensors in each picture, two [batch] a
/// place, in order; `batch` is the first dimension of the model's input.
void observe(const std::shared_ptr<ov::Model>& model, int64_t batch);

/// Puts the roundings into the model: tensors to 256 levels in their range, from 0 where nothing is below it, else as
/// many on both sides; weights to 255 levels, symmetric, with a range for each output channel, or where they are
/// `narrow` to the middle 127 of these. Throws ModelError where `ranges` are not as many as the places.
void quantise(const std::shared_ptr<ov::Model>& model, const std::vector<ValueRange>& ranges, bool narrow);

}  // namespace engraft::engine
