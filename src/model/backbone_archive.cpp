#include "model/backbone_archive.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "graph/archive.h"
#include "io/digest.h"
#include "model/preprocessing_source.h"
#include "tensor/named.h"

namespace engraft::model {

namespace {

constexpr const char *kStoredAs = "weights_stored_as", *kFloat16 = "float16";

std::vector<tensor::NamedTensor> tensors_of(const torch::jit::Module& module) {
  std::vector<tensor::NamedTensor> all;
  for (const auto& item : module.named_parameters(true)) all.push_back({item.name, item.value});
  for (const auto& item : module.named_buffers(true)) all.push_back({item.name, item.value});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

/// As NumPy and Python's torch call it.
const char* dtype_name(const tensor::NamedTensor& item) {
  switch (item.value.scalar_type()) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    default:
      throw ModelError("'" + item.name + "' is of a type that weights_sha256 does not know");
  }
}

void halve_weights(const torch::jit::Module& module) {
  for (const auto& item : module.named_parameters(true)) {
    at::Tensor weight = item.value;
    if (weight.dim() < 2 || weight.scalar_type() != at::kFloat) continue;
    const at::Tensor half = weight.detach().to(at::kHalf);
    if (!half.isfinite().all().item<bool>())
      throw ModelError("'" + item.name + "' has weights beyond float16, 65,504; save it in float32");
    weight.set_data(half);
  }
}

}  // namespace

std::string backbone_archive(const torch::jit::Module& backbone, const BackboneRecord& record) {
  const c10::AutoGradMode with_gradients(true);  // without, the archive's copies would lose requires_grad
  torch::jit::Module copy = backbone.deepcopy();
  copy.eval();
  {
    const c10::NoGradGuard no_grad;
    if (record.has_half_weights) halve_weights(copy);
  }
  io::Json about = {{"format", "engraft-backbone"},
                    {"version", 1},
                    {"name", record.name},
                    {"source", record.source},
                    {"architecture", record.architecture},
                    {"blocks", record.blocks},
                    {"licence", record.licence},
                    {"weights_sha256", weights_sha256(copy)},
                    {"preprocessing", to_json(record.preprocessing)}};
  if (record.has_half_weights) about[kStoredAs] = kFloat16;
  return graph::archive_bytes(copy, {{"engraft.json", about.dump(1, ' ', false, io::Json::error_handler_t::replace)}});
}

void widen_stored_halves(const torch::jit::Module& module, const std::string& archive_json) {
  const io::Json about = io::Json::parse(archive_json, nullptr, /*allow_exceptions=*/false);
  if (!about.is_object() || !about.contains(kStoredAs) || about[kStoredAs] != kFloat16) return;
  const c10::NoGradGuard no_grad;
  for (const auto& item : module.named_parameters(true)) {
    at::Tensor weight = item.value;
    if (weight.scalar_type() == at::kHalf) weight.set_data(weight.detach().to(at::kFloat));
  }
}

std::string weights_sha256(const torch::jit::Module& module) {
  io::Sha256 digest;
  for (const tensor::NamedTensor& item : tensors_of(module)) {
    const at::Tensor value = item.value.detach().to(at::kCPU).contiguous();
    std::string shape;
    for (const int64_t extent : value.sizes()) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
    digest.add(item.name + '\0' + dtype_name(item) + '\0' + shape + '\0');
    digest.add(value.const_data_ptr(), value.nbytes());
  }
  return digest.hex();
}

}  // namespace engraft::model
