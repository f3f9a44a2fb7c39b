#pragma once

#include <string>

#include "finetune/train_options.h"

namespace engraft::test {

/// Three classes of noise around three colours, as PNG: 12 training and 5 validation pictures each.
void draw_run_pictures(const std::string& root);

/// Options of a training of small.pt (save_small_net) in `folder` on draw_run_pictures in `folder`/data, in batches of
/// 8 with a ragged last one, with a cache in `folder`/cache, on the CPU.
finetune::TrainOptions example_run(const std::string& folder);

}  // namespace engraft::test
