#pragma once

#include <torch/csrc/jit/api/module.h>

#include <memory>

namespace engraft::engine {

/// Folds each batch norm with constant statistics that reads a convolution with constant weights into that convolution:
/// weight * s and (bias - mean) * s + shift, with s = scale / sqrt(variance + eps) of each output channel, computed in
/// float64 up to s. A convolution whose output is read by others too stays beside the folded one, so that what a value
/// is does not depend on what else the graph gives. Returns how many norms were folded.
int fold_norms(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace engraft::engine
