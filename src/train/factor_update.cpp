#include "train/factor_update.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace engraft::train {

#if defined(__x86_64__)

namespace {

constexpr int64_t kRows = 4;        // whose sums stand in registers together
constexpr int64_t kWidth = 16;      // columns of them
constexpr int64_t kTile = 2048;     // columns whose inputs stay in the second cache
constexpr int64_t kTileRows = 256;  // rows that a thread takes at once

/// One weight [out, D] with what moves it.
struct Job {
  float* weights;
  float* buffer;   // nullptr: no momentum
  const float* g;  // [out, B]
  const float* x;  // [B, D]
  int64_t rows, columns, batch;
  float rate, momentum, weight_decay;
  bool nesterov;
};

/// One element, where a tile has no whole width of columns left.
__attribute__((target("avx2,fma"))) void move_one(const Job& job, int64_t row, int64_t column) {
  float sum = 0;
  for (int64_t k = 0; k < job.batch; ++k) {
    sum = __builtin_fmaf(job.g[row * job.batch + k], job.x[k * job.columns + column], sum);
  }
  float& weight = job.weights[row * job.columns + column];
  sum = __builtin_fmaf(job.weight_decay, weight, sum);
  if (job.buffer != nullptr) {
    float& buffer = job.buffer[row * job.columns + column];
    buffer = __builtin_fmaf(job.momentum, buffer, sum);
    sum = job.nesterov ? __builtin_fmaf(job.momentum, buffer, sum) : buffer;
  }
  weight = __builtin_fmaf(-job.rate, sum, weight);
}

__attribute__((target("avx2,fma"))) void move_eight(const Job& job, int64_t at, __m256 sum) {
  __m256 weight = _mm256_loadu_ps(job.weights + at);
  sum = _mm256_fmadd_ps(_mm256_set1_ps(job.weight_decay), weight, sum);
  if (job.buffer != nullptr) {
    const __m256 momentum = _mm256_set1_ps(job.momentum);
    const __m256 buffer = _mm256_fmadd_ps(momentum, _mm256_loadu_ps(job.buffer + at), sum);
    _mm256_storeu_ps(job.buffer + at, buffer);
    sum = job.nesterov ? _mm256_fmadd_ps(momentum, buffer, sum) : buffer;
  }
  _mm256_storeu_ps(job.weights + at, _mm256_fmadd_ps(_mm256_set1_ps(-job.rate), sum, weight));
}

__attribute__((target("avx2,fma"))) void move_patch(const Job& job, int64_t row, int64_t column) {
  __m256 sums[kRows][2];
  for (auto& of_row : sums) of_row[0] = of_row[1] = _mm256_setzero_ps();
  const float* g = job.g + row * job.batch;
  for (int64_t k = 0; k < job.batch; ++k) {
    const float* x = job.x + k * job.columns + column;
    const __m256 left = _mm256_loadu_ps(x), right = _mm256_loadu_ps(x + 8);
    for (int64_t i = 0; i < kRows; ++i) {
      const __m256 factor = _mm256_broadcast_ss(g + i * job.batch + k);
      sums[i][0] = _mm256_fmadd_ps(factor, left, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(factor, right, sums[i][1]);
    }
  }
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t at = (row + i) * job.columns + column;
    move_eight(job, at, sums[i][0]);
    move_eight(job, at + 8, sums[i][1]);
  }
}

void move_tile(const Job& job, int64_t first_row, int64_t first_column) {
  const int64_t last_row = std::min(first_row + kTileRows, job.rows);
  const int64_t last_column = std::min(first_column + kTile, job.columns);
  for (int64_t row = first_row; row < last_row; row += kRows) {
    int64_t column = first_column;
    if (row + kRows <= last_row) {
      for (; column + kWidth <= last_column; column += kWidth) move_patch(job, row, column);
    }
    for (int64_t i = row; i < std::min(row + kRows, last_row); ++i) {
      for (int64_t c = column; c < last_column; ++c) move_one(job, i, c);
    }
  }
}

}  // namespace

bool sgd_by_factors(const at::Tensor& weights, const at::Tensor& buffer, const tensor::OuterGradient& gradient,
                    const SgdStep& step) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  const c10::NoGradGuard no_grad;
  const at::Tensor g = gradient.of_outputs().t().contiguous(), x = gradient.inputs().contiguous();
  const Job job{weights.data_ptr<float>(),
                buffer.defined() ? buffer.data_ptr<float>() : nullptr,
                g.const_data_ptr<float>(),
                x.const_data_ptr<float>(),
                weights.size(0),
                weights.size(1),
                x.size(0),
                static_cast<float>(step.rate),
                static_cast<float>(step.momentum),
                static_cast<float>(step.weight_decay),
                step.nesterov};
  const int64_t across = (job.columns + kTile - 1) / kTile, down = (job.rows + kTileRows - 1) / kTileRows;
  at::parallel_for(0, across * down, /*grain_size=*/1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) move_tile(job, i % down * kTileRows, i / down * kTile);
  });
  return true;
}

#else

bool sgd_by_factors(const at::Tensor&, const at::Tensor&, const tensor::OuterGradient&, const SgdStep&) {
  return false;
}

#endif

}  // namespace engraft::train
