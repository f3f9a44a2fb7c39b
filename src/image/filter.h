#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/resize.h"

/// The two halves of resize(): weights, and the weighted sums that use them. Private to this folder.
namespace engraft::image::filter {

/// The source samples and fixed-point weights behind each output sample of one axis.
class Weights {
 public:
  /// For output samples [from, to) of an axis resized from `in_size` to `out_size`. Pillow's precompute_coeffs and
  /// normalize_coeffs_8bpc, operation by operation.
  Weights(int in_size, int out_size, int from, int to, Interpolation interpolation);

  int count() const { return static_cast<int>(first_.size()); }
  /// Of output sample i, counted from `from`: its first source sample, how many, and their weights times 2^22.
  int first(int i) const { return first_[static_cast<size_t>(i)]; }
  int taps(int i) const { return taps_[static_cast<size_t>(i)]; }
  const int32_t* weights(int i) const { return weights_.data() + static_cast<size_t>(i) * row_; }
  /// Source samples [begin, end) that any of them needs.
  int begin() const { return first_.front(); }
  int end() const { return first_.back() + taps_.back(); }

 private:
  size_t row_ = 0;
  std::vector<int> first_;
  std::vector<int> taps_;
  std::vector<int32_t> weights_;
};

/// One output line: out[lane] = clip((2^21 + sum over t of weights[t] * source[t * stride + lane]) >> 22).
struct Line {
  const uint8_t* source = nullptr;
  ptrdiff_t stride = 0;
  const int32_t* weights = nullptr;
  int taps = 0;
  /// Bytes in the line.
  int lanes = 0;
  uint8_t* out = nullptr;
};

using Kernel = void (*)(const Line&);

/// Plain C++; what every other kernel must equal bit for bit.
void weigh_portable(const Line& line);

/// With AVX2, or null where it is not compiled or this processor has none.
Kernel avx2_kernel();

/// The fastest kernel this processor can run.
Kernel best_kernel();

/// resize_crop_into() with a kernel of the caller's.
void resize_crop_with(Kernel kernel, const Picture& picture, const CropPlan& plan, Interpolation interpolation,
                      uint8_t* out);

}  // namespace engraft::image::filter
