#include "tensor/named.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <unordered_map>

#include "base/errors.h"
#include "base/text.h"
#include "io/digest.h"

namespace engraft::tensor {

std::string digest(const std::vector<NamedTensor>& tensors) {
  io::Xxh128 hash;
  for (const NamedTensor& item : tensors) {
    const at::Tensor bytes = item.value.detach().to(at::kCPU).contiguous();
    hash.add(text::cat(item.name, " ", bytes.scalar_type(), " ", text::shape(bytes.sizes().vec()), "\n"));
    hash.add(bytes.const_data_ptr(), bytes.nbytes());
  }
  return hash.hex();
}

std::vector<NamedTensor> snapshot(const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> out;
  out.reserve(tensors.size());
  for (const NamedTensor& item : tensors) out.push_back({item.name, item.value.detach().clone()});
  return out;
}

void restore(const std::vector<NamedTensor>& from, const std::vector<NamedTensor>& into) {
  std::unordered_map<std::string, at::Tensor> values;
  for (const NamedTensor& item : from) values.emplace(item.name, item.value);
  c10::NoGradGuard no_grad;
  for (const NamedTensor& item : into) {
    const auto found = values.find(item.name);
    if (found == values.end()) throw ModelError("no tensor '" + item.name + "' to restore from");
    if (found->second.sizes() != item.value.sizes()) {
      throw ModelError(text::cat("tensor '", item.name, "' is ", text::shape(found->second.sizes().vec()),
                                 ", expected ", text::shape(item.value.sizes().vec())));
    }
    at::Tensor target = item.value;
    target.copy_(found->second);
  }
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) {
    throw ModelError(text::cat("shapes differ: ", text::shape(a.sizes().vec()), " and ", text::shape(b.sizes().vec())));
  }
  if (a.numel() == 0) return 0;
  const at::Tensor x = a.detach().to(at::kCPU, at::kDouble), y = b.detach().to(at::kCPU, at::kDouble);
  const double difference = (x - y).abs().max().item<double>();
  const double scale = y.abs().max().item<double>();
  if (difference == 0) return 0;
  return scale > 0 ? difference / scale : difference;
}

}  // namespace engraft::tensor
