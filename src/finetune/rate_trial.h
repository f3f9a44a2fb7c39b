#pragma once

#include <string>

#include "base/report.h"
#include "finetune/run.h"
#include "finetune/setup.h"

namespace engraft::finetune {

/// What --find-lr does in place of a training: tries rising rates on the first stage that has epochs, writes
/// OUT/rate_range.csv and names a rate. Drops the later stages from the setup. Throws as FrozenPart and
/// train::range_test.
TrainResult try_rates(Setup& setup, const std::string& out, Reporter& reporter);

}  // namespace engraft::finetune
