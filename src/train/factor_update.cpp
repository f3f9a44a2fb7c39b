#include "train/factor_update.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>

#include "tensor/blocks.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace engraft::train {

#if defined(__x86_64__)

namespace {

constexpr int64_t kRows = 6;            // whose sums stand in registers together
constexpr int64_t kWidth = 16;          // columns of them
constexpr int64_t kTile = 2048;         // columns whose inputs stay in the second cache; a whole number of kWidth
constexpr int64_t kTileRows = 192;      // that a thread takes at once; a whole number of kRows
constexpr int64_t kAhead = 3 * kWidth;  // columns between what is asked of memory and what is worked on

/// One weight [out, D] with what moves it.
struct Job {
  float* weights;
  float* buffer;        // nullptr: no momentum
  const float* g;       // [out, B]
  const float* x;       // [B, D]
  const float* panels;  // [D / kWidth, B, kWidth]: x without the columns that make no whole panel
  int64_t rows, columns, batch;
  float rate, momentum, weight_decay;
  bool nesterov;
};

/// One element, where there is no whole panel left.
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

__attribute__((target("avx2,fma"))) inline void move_eight(const Job& job, int64_t at, __m256 sum) {
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

/// kCount rows from `row` on, a panel's columns from `column` on. The loops over rows are unrolled, or the sums would
/// not stay in registers.
template <int64_t kCount>
__attribute__((target("avx2,fma"))) void move_patch(const Job& job, int64_t row, int64_t column) {
  const int64_t batch = job.batch;
#pragma GCC unroll 8
  for (int64_t i = 0; i < kCount; ++i) {
    const int64_t ahead = (row + i) * job.columns + column + kAhead;
    _mm_prefetch(reinterpret_cast<const char*>(job.weights + ahead), _MM_HINT_T0);
    if (job.buffer != nullptr) _mm_prefetch(reinterpret_cast<const char*>(job.buffer + ahead), _MM_HINT_T0);
  }
  __m256 sums[kCount][2];
#pragma GCC unroll 8
  for (int64_t i = 0; i < kCount; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
  const float* g = job.g + row * batch;
  const float* x = job.panels + column * batch;
  for (int64_t k = 0; k < batch; ++k, x += kWidth) {
    const __m256 left = _mm256_loadu_ps(x), right = _mm256_loadu_ps(x + 8);
#pragma GCC unroll 8
    for (int64_t i = 0; i < kCount; ++i) {
      const __m256 factor = _mm256_broadcast_ss(g + i * batch + k);
      sums[i][0] = _mm256_fmadd_ps(factor, left, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(factor, right, sums[i][1]);
    }
  }
#pragma GCC unroll 8
  for (int64_t i = 0; i < kCount; ++i) {
    const int64_t at = (row + i) * job.columns + column;
    move_eight(job, at, sums[i][0]);
    move_eight(job, at + 8, sums[i][1]);
  }
}

void move_tile(const Job& job, int64_t first_row, int64_t first_column) {
  const int64_t last_row = std::min(first_row + kTileRows, job.rows);
  const int64_t last_column = std::min(first_column + kTile, job.columns);
  const int64_t last_panel = last_column - (last_column - first_column) % kWidth;
  int64_t row = first_row;
  for (; row + kRows <= last_row; row += kRows) {
    for (int64_t column = first_column; column < last_panel; column += kWidth) move_patch<kRows>(job, row, column);
  }
  for (; row < last_row; ++row) {
    for (int64_t column = first_column; column < last_panel; column += kWidth) move_patch<1>(job, row, column);
  }
  for (row = first_row; row < last_row; ++row) {
    for (int64_t column = last_panel; column < last_column; ++column) move_one(job, row, column);
  }
}

/// What Job::panels points to, of x [B, D].
at::Tensor panels_of(const at::Tensor& x) {
  const int64_t batch = x.size(0), columns = x.size(1), count = columns / kWidth;
  at::Tensor panels = at::empty({count, batch, kWidth}, x.options());
  const float* from = x.const_data_ptr<float>();
  float* to = panels.data_ptr<float>();
  tensor::for_blocks(count, /*longest=*/64, [&](const tensor::Block& block) {
    for (int64_t i = block.first; i < block.first + block.count; ++i) {
      for (int64_t k = 0; k < batch; ++k) {
        std::copy_n(from + k * columns + i * kWidth, kWidth, to + (i * batch + k) * kWidth);
      }
    }
  });
  return panels;
}

}  // namespace

bool has_factor_update() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

void sgd_by_factors(const at::Tensor& weights, const at::Tensor& buffer, const tensor::OuterGradient& gradient,
                    const SgdStep& step) {
  const c10::NoGradGuard no_grad;
  const at::Tensor g = gradient.of_outputs().t().contiguous(), x = gradient.inputs().contiguous();
  const at::Tensor panels = panels_of(x);
  const Job job{weights.data_ptr<float>(),
                buffer.defined() ? buffer.data_ptr<float>() : nullptr,
                g.const_data_ptr<float>(),
                x.const_data_ptr<float>(),
                panels.const_data_ptr<float>(),
                weights.size(0),
                weights.size(1),
                x.size(0),
                static_cast<float>(step.rate),
                static_cast<float>(step.momentum),
                static_cast<float>(step.weight_decay),
                step.nesterov};
  const int64_t across = (job.columns + kTile - 1) / kTile, down = (job.rows + kTileRows - 1) / kTileRows;
  tensor::for_blocks(across * down, /*longest=*/1, [&](const tensor::Block& tile) {
    move_tile(job, tile.index % down * kTileRows, tile.index / down * kTile);
  });
}

#else

bool has_factor_update() { return false; }

void sgd_by_factors(const at::Tensor&, const at::Tensor&, const tensor::OuterGradient&, const SgdStep&) {
  throw std::logic_error("sgd by factors: not on this CPU");
}

#endif

}  // namespace engraft::train
