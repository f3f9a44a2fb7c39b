#include "engine/parity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/errors.h"
#include "base/random.h"
#include "base/text.h"

namespace engraft::engine {

namespace {

constexpr uint64_t kSeed = 2026;

/// Note [Parity bounds]
/// Thirty times what rounding in another order was seen to give (float32, OpenVINO: 2e-7 to 4e-6 over both shared
/// networks and torchvision's zoo), and below what arithmetic of eleven bits or a wrong epsilon would give.
constexpr double kFloat32Bound = 1e-4;
/// Three times what eight bits a value were seen to give (LibTorch's bf16: 3e-3 to 3.3e-2 on the same networks); a
/// network that is not the same gives 1.
constexpr double kBfloat16Bound = 0.1;

void fill_picture(uint8_t* pixels, int size_px, uint64_t number) {
  RandomStream stream(kSeed, {number});
  double from[3], across[3], down[3];
  for (int c = 0; c < 3; ++c) {
    from[c] = stream.uniform(40, 120);
    across[c] = stream.uniform(-40, 120);
    down[c] = stream.uniform(-40, 120);
  }
  for (int y = 0; y < size_px; ++y) {
    for (int x = 0; x < size_px; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double smooth = from[c] + across[c] * x / size_px + down[c] * y / size_px;
        *pixels++ = static_cast<uint8_t>(std::clamp(smooth + stream.uniform(-24, 24), 0.0, 255.0));
      }
    }
  }
}

/// Of rows [N, …].
double row_error(const at::Tensor& output, const at::Tensor& reference) {
  const at::Tensor expected = reference.flatten(1).to(at::kDouble);
  const at::Tensor error = (output.flatten(1).to(at::kDouble) - expected).square().mean(1);  // [N]
  const at::Tensor relative = (error / expected.square().mean(1).clamp_min(1e-30)).sqrt();
  const double worst = relative.max().item<double>();
  return std::isfinite(worst) ? worst : std::numeric_limits<double>::infinity();
}

}  // namespace

std::vector<uint8_t> parity_pictures(int size_px) {
  const size_t bytes = static_cast<size_t>(size_px) * size_px * 3;
  std::vector<uint8_t> pictures(2 * bytes);
  for (uint64_t i = 0; i < 2; ++i) fill_picture(pictures.data() + i * bytes, size_px, i);
  return pictures;
}

double relative_error(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& reference) {
  if (outputs.size() != reference.size())
    throw ModelError(text::cat("it gives ", outputs.size(), " outputs, LibTorch ", reference.size()));
  double worst = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].sizes() != reference[i].sizes())
      throw ModelError(text::cat("it gives ", text::shape(outputs[i].sizes().vec()), ", LibTorch ",
                                 text::shape(reference[i].sizes().vec())));
    worst = std::max(worst, row_error(outputs[i], reference[i]));
  }
  return worst;
}

double difference_from_torch(Engine& engine, const torch::jit::Module& module, const std::string& method) {
  EngineOptions options = engine.options();
  const int size_px = options.preprocessing.size_px;
  const int64_t batch = options.batch_size;
  const std::vector<uint8_t> two = parity_pictures(size_px);
  const size_t bytes = two.size() / 2;
  const auto batch_with = [&](size_t first, size_t last) {
    std::vector<uint8_t> pixels(bytes * batch, 128);
    std::copy_n(two.begin() + last * bytes, bytes, pixels.end() - bytes);
    std::copy_n(two.begin() + first * bytes, bytes, pixels.begin());
    return pixels;
  };
  options.batch_size = 2;
  options.precision = tensor::Precision::kFloat32;
  options.is_frozen = false;
  const auto expected = make_torch_engine(module, method, options)->run(two.data());
  std::vector<at::Tensor> found = engine.run(batch_with(0, 1).data());
  std::vector<at::Tensor> second = batch == 1 ? engine.run(two.data() + bytes) : found;
  for (size_t i = 0; i < found.size(); ++i)
    found[i] = at::cat({found[i].narrow(0, 0, 1), second[i].narrow(0, batch - 1, 1)});
  return relative_error(found, expected);
}

double parity_bound(tensor::Precision precision) {
  return precision == tensor::Precision::kFloat32 ? kFloat32Bound : kBfloat16Bound;
}

}  // namespace engraft::engine
