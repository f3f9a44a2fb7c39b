#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace engraft::engine {

/// Two pictures uint8 [2, size_px, size_px, 3]: gradients of colour with noise over them, the same on every machine.
std::vector<uint8_t> parity_pictures(int size_px);

/// The RMS of `outputs` - `reference` over the RMS of `reference`, the largest over the rows of all outputs; infinite
/// where one is not a finite number. Throws ModelError where shapes differ.
double relative_error(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& reference);

/// The relative_error of `engine` against plain LibTorch float32 (make_torch_engine, not folded, batch 2) for `method`
/// of `module` on parity_pictures(), with each picture at one end of the batch.
double difference_from_torch(Engine& engine, const torch::jit::Module& module, const std::string& method);

/// The largest difference with which an engine counts as computing the same network in float32 or bf16.
double parity_bound(tensor::Precision precision);

}  // namespace engraft::engine
